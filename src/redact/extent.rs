//! How far an unquoted value reaches.

use super::scan::Scan;

/// How many characters may stand between a comma and the `=` of the next name.
pub(super) const MOST_NAME: usize = 40;

/// Where an unquoted value ends. Depends on nothing before `at`, so that a run is read once.
pub(super) fn value_end(scan: &mut Scan<'_>, at: usize, encoded: u8) -> usize {
    let known = &scan.values[usize::from(encoded)];
    if known.start <= at && at < known.end {
        return known.end;
    }
    let mut end = at;
    while end < scan.bytes.len() && !ends_value(scan, end, encoded) {
        end += 1;
    }
    scan.step(end - at + 1);
    while !scan.text.is_char_boundary(end) {
        end -= 1;
    }
    scan.values[usize::from(encoded)] = at..end;
    end
}

fn ends_value(scan: &mut Scan<'_>, at: usize, encoded: u8) -> bool {
    match scan.bytes[at] {
        0..=b' ' | 0x7f | b'"' | b'\'' | b'`' | b'<' | b'>' => true,
        b'\\' => matches!(
            scan.get(at + 1),
            b'n' | b'r' | b't' | b'"' | b'\'' | b'u' | b'\\' | 0
        ),
        b',' | b';' | b'&' | b'|' => scan.has(at, "&amp;") || separates(scan, at + 1),
        b')' | b']' | b'}' => matches!(
            scan.get(at + 1),
            0..=b' '
                | b'"'
                | b'\''
                | b'`'
                | b','
                | b';'
                | b'.'
                | b':'
                | b')'
                | b']'
                | b'}'
                | b'<'
                | b'&'
                | b'\\'
        ),
        // `&`, a space, a quote and the like, encoded as often as the `=` was: more often, they are the value's.
        b'%' if encoded > 0 => {
            let after = match encoded {
                2 if scan.has(at, "%25") => 3,
                _ => 1,
            };
            matches!(
                (
                    scan.get(at + after),
                    scan.get(at + after + 1).to_ascii_lowercase()
                ),
                (b'2', b'6' | b'0' | b'2' | b'3' | b'7' | b'c')
                    | (b'0', b'a' | b'd')
                    | (b'3', b'b')
            )
        }
        0xe2 => scan.cut_at(at),
        _ => false,
    }
}

/// Whether what stands at `at`, after a comma or the like, is the next thing and no more of the value.
fn separates(scan: &mut Scan<'_>, at: usize) -> bool {
    match scan.get(at) {
        0..=b' ' | b'"' | b'\'' | b'`' | b'<' | b')' | b']' | b'}' | b'\\' | b'{' | b'[' => {
            return true;
        }
        _ => {}
    }
    let rest = &scan.bytes[at..scan.bytes.len().min(at + MOST_NAME)];
    let name = rest
        .iter()
        .take_while(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']' | b'$')
        })
        .count();
    let end = at + name;
    name > 0
        && (matches!(scan.get(end), b'=' | b':') || scan.has(end, "%3d") || scan.has(end, "%5"))
}
