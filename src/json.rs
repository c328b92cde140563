//! Append-only JSON writer: escapes, numbers, RFC 3339 time.

/// Length of the sequence text `<8-character ring id>-<10 hex digits>`.
pub const SEQ_LEN: usize = 19;

/// What closes every JSON line after its sequence text: quote, brace, newline.
pub const SEQ_TAIL: &[u8] = b"\"}\n";
