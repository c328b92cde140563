//! The layer: spans keep their fields encoded, events become lines.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use smallvec::SmallVec;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::encode::Encoder;
use super::line::{Keep, Parts};
use super::output::Output;
use super::values::{Kept, Values, Visitor};
use crate::engine::engine;
use crate::json::SEQ_PLACEHOLDER;
use crate::report;

/// Spans around an event for which nothing is allocated.
const USUAL_SPANS: usize = 8;

/// Characters of a text in further attempts at a line that is too long, and what they keep.
const TIGHTER: [(usize, Keep); 4] = [
    (1024, Keep::NoSpans),
    (128, Keep::NoSpans),
    (64, Keep::NoFields),
    (24, Keep::Core),
];

/// Writes events to a log. Made by [`builder`](super::builder()).
#[derive(Debug)]
pub struct SpoolLayer {
    encoder: Encoder,
    output: Output,
    /// Bytes a line may have.
    end: usize,
}

/// The fields of a span, as each of our layers encoded them.
#[derive(Default)]
struct Fields(SmallVec<[(u64, Kept); 1]>);

impl Fields {
    fn of(&self, number: u64) -> Option<&Kept> {
        let mut all = self.0.iter();
        all.find(|(of, _)| *of == number).map(|(_, kept)| kept)
    }

    fn take(&mut self, number: u64, span: &str, values: &Values) {
        let known = self.0.iter().position(|(of, _)| *of == number);
        let at = known.unwrap_or_else(|| {
            self.0.push((number, Kept::default()));
            self.0.len() - 1
        });
        self.0[at].1.take(span, values);
    }
}

/// What a thread's events are made in, one after the other.
#[derive(Default)]
struct Scratch {
    values: Values,
    line: Vec<u8>,
}

thread_local! {
    /// Taken while it is in use: code of the program's that runs meanwhile may log, too.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// No more than this is kept for the next event.
const MAX_KEPT: usize = 64 << 10;

fn with_scratch(run: impl FnOnce(&mut Scratch)) {
    let mut scratch = SCRATCH
        .try_with(Cell::take)
        .ok()
        .flatten()
        .unwrap_or_default();
    scratch.values.clear();
    scratch.line.clear();
    run(&mut scratch);
    if scratch.line.capacity() <= MAX_KEPT {
        let _ = SCRATCH.try_with(|kept| kept.set(Some(scratch)));
    }
}

/// Runs what must not fail into the program.
fn guarded(run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        engine().count_unopened();
        report::say("an event could not be encoded; this is a defect of logspool");
    }
}

impl SpoolLayer {
    pub(super) fn new(encoder: Encoder, output: Output) -> Self {
        let end = encoder.max_record.min(output.max_line()) - SEQ_PLACEHOLDER.len();
        Self {
            encoder,
            output,
            end,
        }
    }

    fn visitor<'a>(&'a self, values: &'a mut Values, limit: usize) -> Visitor<'a> {
        values.clear();
        Visitor {
            encoder: &self.encoder,
            values,
            limit,
        }
    }

    /// Encodes the values that `record` shows, and gives them to a span.
    fn keep<'a, S: LookupSpan<'a>>(
        &self,
        span: &SpanRef<'a, S>,
        record: impl FnOnce(&mut Visitor<'_>),
    ) {
        with_scratch(|scratch| {
            record(&mut self.visitor(&mut scratch.values, self.encoder.max_field));
            let mut extensions = span.extensions_mut();
            if extensions.get_mut::<Fields>().is_none() {
                extensions.insert(Fields::default());
            }
            if let Some(fields) = extensions.get_mut::<Fields>() {
                fields.take(self.encoder.number, span.name(), &scratch.values);
            }
        });
    }

    fn write<'a, S: LookupSpan<'a>>(
        &self,
        event: &Event<'_>,
        spans: &[SpanRef<'a, S>],
        scratch: &mut Scratch,
    ) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let first = (self.encoder.max_field, Keep::All);
        for (limit, keep) in std::iter::once(first).chain(TIGHTER) {
            // Runs code of the program's: nothing is locked.
            let limit = limit.min(self.encoder.max_field);
            event.record(&mut self.visitor(&mut scratch.values, limit));
            let extensions: SmallVec<[_; USUAL_SPANS]> =
                spans.iter().map(SpanRef::extensions).collect();
            let around: SmallVec<[_; USUAL_SPANS]> = extensions
                .iter()
                .filter_map(|extensions| extensions.get::<Fields>()?.of(self.encoder.number))
                .collect();
            let parts = Parts {
                metadata,
                values: &scratch.values,
                spans: &around,
            };
            scratch.line.clear();
            self.encoder
                .write_line(&mut scratch.line, &parts, keep, limit);
            if let Some(redactor) = &self.encoder.redactor {
                redactor.line(&mut scratch.line, 0, limit);
            }
            if scratch.line.len() <= self.end {
                break;
            }
        }
        if scratch.line.len() > self.end {
            return engine().count_unopened();
        }
        scratch.line.extend_from_slice(SEQ_PLACEHOLDER);
        let urgent = *metadata.level() == Level::ERROR;
        self.output.append(&mut scratch.line, urgent);
    }
}

impl<S> Layer<S> for SpoolLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        guarded(|| {
            if let Some(span) = context.span(id) {
                self.keep(&span, |visitor| attributes.record(visitor));
            }
        });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        guarded(|| {
            if let Some(span) = context.span(id) {
                self.keep(&span, |visitor| record.record(visitor));
            }
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        guarded(|| {
            let spans: SmallVec<[_; USUAL_SPANS]> =
                context.event_scope(event).into_iter().flatten().collect();
            with_scratch(|scratch| self.write(event, &spans, scratch));
        });
    }
}
