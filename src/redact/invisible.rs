//! Characters that are not seen: a secret with some among its letters is still one to whoever reads it.

use std::ops::Range;

/// A text without them, and where each of its bytes stood.
pub(super) struct Visible {
    pub(super) text: String,
    /// Where the text goes on after a gap: offset in it, offset in the original.
    gaps: Vec<(usize, usize)>,
}

impl Visible {
    /// `None` where there is nothing to leave out: the text is as it looks.
    pub(super) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let plain = |b: &u8| (b' '..0x7f).contains(b) || matches!(b, b'\n' | b'\t' | b'\r');
        let first = bytes.iter().position(|b| !plain(b))?;
        let mut visible = Self {
            text: String::new(),
            gaps: Vec::new(),
        };
        let mut copied = 0;
        let mut chars = text[first..].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let at = first + at;
            if !is_invisible(c) {
                continue;
            }
            let mut end = at + c.len_utf8();
            if c == '\u{1b}' {
                end += sequence(&bytes[end..]);
                while chars.peek().is_some_and(|(next, _)| first + next < end) {
                    chars.next();
                }
            }
            visible.text.push_str(&text[copied..at]);
            copied = end;
            visible.gaps.push((visible.text.len(), end));
        }
        if visible.gaps.is_empty() {
            return None;
        }
        visible.text.push_str(&text[copied..]);
        Some(visible)
    }

    /// Where `range` of the visible text stands in the original.
    pub(super) fn original(&self, range: &Range<usize>) -> Range<usize> {
        self.offset(range.start)..self.offset(range.end - 1) + 1
    }

    fn offset(&self, at: usize) -> usize {
        let after = self.gaps.partition_point(|gap| gap.0 <= at);
        match after.checked_sub(1).map(|i| self.gaps[i]) {
            Some((visible, original)) => original + (at - visible),
            None => at,
        }
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}')
}

/// Bytes of a control sequence after its escape character: colours, titles, links.
fn sequence(rest: &[u8]) -> usize {
    const MOST: usize = 64;
    let most = &rest[..rest.len().min(MOST)];
    let len = match most.first() {
        Some(b'[') => {
            let len = most[1..]
                .iter()
                .position(|b| !(0x20..=0x3f).contains(b))
                .map(|len| len + 1);
            len.filter(|&len| (0x40..=0x7e).contains(&most[len]))
                .map(|len| len + 1)
        }
        Some(b']') => most
            .iter()
            .position(|b| *b == 7 || *b == 0x1b)
            .map(|len| len + usize::from(most[len] == 7)),
        Some(b'(' | b')') if most.len() > 1 && most[1].is_ascii() => Some(2),
        Some(b'=' | b'>' | b'c' | b'7' | b'8') => Some(1),
        _ => None,
    };
    len.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_found_where_it_stands() {
        assert!(Visible::of("plain text\n\twith – dashes and ünïcödé").is_none());
        let text = "a\u{200b}b \u{1b}[31msk\u{1b}[0m-\u{ad}x\u{1b}]8;;http://x\u{7}y\u{0}z";
        let visible = Visible::of(text).unwrap();
        assert_eq!(visible.text, "ab sk-xyz");
        assert_eq!(&text[visible.original(&(0..1))], "a");
        assert_eq!(&text[visible.original(&(0..2))], "a\u{200b}b");
        assert_eq!(&text[visible.original(&(3..6))], "sk\u{1b}[0m-");
        assert_eq!(
            &text[visible.original(&(6..9))],
            "x\u{1b}]8;;http://x\u{7}y\u{0}z"
        );
    }

    proptest::proptest! {
        #[test]
        fn every_range_of_the_visible_is_a_range_of_the_original(
            text in "(\u{1b}\\[[0-9]{0,2}m|[a-zé\u{200b}\u{0}\u{1b}\u{ad}\u{feff}😀]){0,30}", from in 0_usize..30, len in 1_usize..10,
        ) {
            if let Some(visible) = Visible::of(&text) {
                let starts: Vec<usize> = visible.text.char_indices().map(|(at, _)| at).chain([visible.text.len()]).collect();
                if from + len < starts.len() {
                    let range = starts[from]..starts[from + len];
                    let original = visible.original(&range);
                    let seen = &text[original];
                    let seen = Visible::of(seen).map_or_else(|| seen.to_owned(), |v| v.text);
                    proptest::prop_assert_eq!(seen, &visible.text[range]);
                }
            }
        }
    }
}
