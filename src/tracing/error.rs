//! An error to `{type, message, stacktrace, causes?}`.

use std::error::Error;
use std::fmt::Write;
use std::io;

use super::encode::Encoder;
use super::values::render;

/// Causes that are told, as of a Python exception.
const MAX_CAUSES: usize = 16;

/// Appends the object. Rust errors know where they come from only where a program's own code keeps that: `stacktrace` has the chain of
/// causes, a line each.
pub(super) fn write_exception(
    encoder: &Encoder,
    out: &mut Vec<u8>,
    error: &(dyn Error + 'static),
    limit: usize,
) {
    out.push(b'{');
    let (name, message) = write_summary(encoder, out, error, limit);
    let mut trace = format!("{name}: {message}");
    let mut causes = Vec::new();
    let mut next = error.source();
    let mut count = 0;
    while let Some(cause) = next.filter(|_| count < MAX_CAUSES) {
        causes.push(if count == 0 { b'[' } else { b',' });
        causes.push(b'{');
        let (name, message) = write_summary(encoder, &mut causes, cause, limit);
        causes.push(b'}');
        // Writing to a string cannot fail.
        let _ = write!(trace, "\nCaused by: {name}: {message}");
        next = cause.source();
        count += 1;
    }
    out.extend_from_slice(b",\"stacktrace\":");
    encoder.write_text(out, &trace, limit, false);
    if count > 0 {
        out.extend_from_slice(b",\"causes\":");
        out.append(&mut causes);
        out.push(b']');
    }
    out.push(b'}');
}

/// `"type":…,"message":…`, and both as text.
fn write_summary(
    encoder: &Encoder,
    out: &mut Vec<u8>,
    error: &(dyn Error + 'static),
    limit: usize,
) -> (String, String) {
    let name = type_name(error);
    let message = render(format_args!("{error}"));
    out.extend_from_slice(b"\"type\":");
    encoder.write_text(out, &name, limit, false);
    out.extend_from_slice(b",\"message\":");
    encoder.write_text(out, &message.text, limit, message.stopped);
    (name, message.text)
}

/// What an error is called. A `dyn Error` does not know its type; what `derive(Debug)` writes begins with the name of the type, or of
/// the variant, which says more.
fn type_name(error: &(dyn Error + 'static)) -> String {
    if error.is::<io::Error>() {
        return "std::io::Error".to_owned();
    }
    let shown = render(format_args!("{error:?}")).text;
    let end = shown
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(shown.len());
    let (name, rest) = shown.split_at(end);
    let begins = name.rsplit(':').next().and_then(|last| last.chars().next());
    let is_name = begins.is_some_and(char::is_uppercase)
        && (rest.is_empty() || rest.starts_with('(') || rest.starts_with(" {"));
    if is_name { name } else { "Error" }.to_owned()
}
