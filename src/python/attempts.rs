//! Attempts at a line: again with tighter limits while it is too long, and without what is secret in it.

use super::cut;
use super::encode::{Encoder, Limits, MAX_DEPTH, Written};
use super::record::{Keep, RecordEncoder};
use crate::json;
use crate::payload;

impl RecordEncoder {
    /// The limits of a first attempt at a line that begins here.
    pub(super) fn limits(&self, out: &[u8]) -> Limits {
        let end = out.len() + self.max_record - json::SEQ_PLACEHOLDER.len();
        Limits {
            text: self.max_field,
            short: self.max_field.min(payload::SHORT - 1),
            items: usize::MAX,
            depth: MAX_DEPTH,
            end,
        }
    }

    /// Writes a line, again with tighter limits while it is too long, and ends it.
    pub(super) fn write_within_limits<'py>(
        &self,
        encoder: &mut Encoder<'py>,
        out: &mut Vec<u8>,
        write: impl Fn(&Encoder<'py>, Keep, &mut Vec<u8>) -> Written,
    ) {
        let start = out.len();
        if write(encoder, Keep::All, out).is_err() || self.look_over(encoder, out, start).is_err() {
            out.truncate(start);
            self.write_tighter(encoder, out, write);
        }
        out.extend_from_slice(json::SEQ_PLACEHOLDER);
    }

    /// Redacts the line that begins at `start`, unless the encoder knows that there is nothing to be found.
    fn look_over(&self, encoder: &Encoder<'_>, out: &mut Vec<u8>, start: usize) -> Written {
        if self.usual && !encoder.look.get() {
            return Ok(());
        }
        self.redact(encoder, out, start)
    }

    /// Takes out of the line that begins at `start` what patterns find in it.
    #[inline]
    pub(super) fn redact(&self, encoder: &Encoder<'_>, out: &mut Vec<u8>, start: usize) -> Written {
        if let Some(redactor) = &self.redactor
            && redactor.line(out, start, encoder.limits.text)
        {
            // What is put in a secret's place may be longer.
            return encoder.check(out);
        }
        Ok(())
    }

    /// The same for the part of a line from `start` on.
    pub(super) fn redact_part(
        &self,
        encoder: &Encoder<'_>,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Written {
        if let Some(redactor) = &self.redactor
            && redactor.part(out, start, self.max_field)
        {
            return encoder.check(out);
        }
        Ok(())
    }

    /// Whether [`Self::redact_part`] may change something in parts of a line, which stand together here.
    pub(super) fn may_redact(&self, parts: &[u8]) -> bool {
        self.redactor
            .as_ref()
            .is_some_and(|redactor| redactor.may_change(parts, self.max_field))
    }

    /// Whether a template says that an argument is secret: `password=%s`.
    #[cold]
    pub(super) fn introduces_secret(&self, template: &str) -> bool {
        // As if each argument were some opaque word.
        let filled = template.replace('%', "Xq7");
        self.redact_text(&filled).is_some()
    }

    /// A text without what is secret in it; `None` if that is the same.
    pub(super) fn redact_text(&self, text: &str) -> Option<String> {
        self.redactor.as_ref()?.text(text)
    }

    #[cold]
    fn write_tighter<'py>(
        &self,
        encoder: &mut Encoder<'py>,
        out: &mut Vec<u8>,
        write: impl Fn(&Encoder<'py>, Keep, &mut Vec<u8>) -> Written,
    ) {
        let start = out.len();
        cut::count_record();
        let Limits { end, .. } = encoder.limits;
        let attempts = [
            (1024, 64, 16, Keep::All),
            (128, 8, 4, Keep::All),
            (64, 4, 2, Keep::NoFields),
            (24, 2, 1, Keep::Core),
        ];
        for (text, items, depth, keep) in attempts {
            encoder.tally.clear();
            let limits = Limits {
                items,
                depth,
                end,
                ..encoder.limits
            };
            encoder.limits = limits.with_text(text.min(self.max_field));
            if write(encoder, keep, out).is_ok() && self.look_over(encoder, out, start).is_ok() {
                break;
            }
            out.truncate(start);
        }
    }
}
