//! The members of what a caller or a provider gives as usage, cost or prices: a dict, another mapping, or an object.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::encode::{Encoder, class_of};
use super::held::Held;
use super::text::utf8;

/// Declares the names that are looked up, each with its place.
macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// A name that is looked up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types)] // As the members are called.
        pub(super) enum Name { $($name),* }

        const NAMES: [&str; [$(Name::$name),*].len()] = [$(stringify!($name)),*];
    };
}

names! {
    prompt, completion, total, input, output,
    prompt_tokens, completion_tokens, total_tokens, input_tokens, output_tokens,
    prompt_tokens_details, completion_tokens_details, input_tokens_details, output_tokens_details,
    cached_tokens, cache_read_input_tokens, cached, reasoning_tokens, reasoning,
    cost, currency, input_per_1m, output_per_1m,
}

const COUNT: usize = NAMES.len();

fn known(py: Python<'_>) -> &'static [Py<PyString>; COUNT] {
    static KNOWN: PyOnceLock<[Py<PyString>; COUNT]> = PyOnceLock::new();
    KNOWN.get_or_init(py, || NAMES.map(|name| PyString::intern(py, name).unbind()))
}

/// What members are asked of.
pub(super) enum Members<'a, 'py> {
    /// A dict, read once: what it has under each of the names, by place.
    Dict([Option<Held<'py>>; COUNT]),
    /// Another mapping.
    Mapping(&'a Bound<'py, PyAny>),
    /// Any other object: its attributes.
    Object(&'a Bound<'py, PyAny>),
}

impl<'a, 'py> Members<'a, 'py> {
    pub(super) fn of(encoder: &Encoder<'py>, object: &'a Bound<'py, PyAny>) -> Self {
        match object.cast_exact::<PyDict>() {
            Ok(dict) => Self::Dict(read(dict)),
            Err(_) if encoder.is_mapping(object) => Self::Mapping(object),
            Err(_) => Self::Object(object),
        }
    }

    /// The member of the first of these names that is there and not `None`.
    pub(super) fn get(&self, encoder: &Encoder<'py>, names: &[Name]) -> Option<Bound<'py, PyAny>> {
        names.iter().find_map(|name| {
            let text = |py| known(py)[*name as usize].bind(py);
            let value = match self {
                Self::Dict(members) => members[*name as usize]
                    .as_ref()
                    .map(|value| (**value).clone()),
                Self::Mapping(mapping) => encoder
                    .ok(mapping.contains(text(encoder.py)))
                    .unwrap_or(false)
                    .then(|| encoder.ok(mapping.get_item(text(encoder.py))))
                    .flatten(),
                Self::Object(object) => encoder.ok(object.getattr_opt(text(encoder.py))).flatten(),
            };
            value.filter(|value| !value.is_none())
        })
    }
}

/// One pass instead of a lookup for each name. Names in code are interned: most are found by their address.
fn read<'py>(dict: &Bound<'py, PyDict>) -> [Option<Held<'py>>; COUNT] {
    let known = known(dict.py());
    let mut members = [const { None }; COUNT];
    for (key, value) in dict {
        let place = known
            .iter()
            .position(|name| name.as_ptr() == key.as_ptr())
            .or_else(|| place_by_text(&key));
        if let Some(place) = place {
            members[place] = Some(Held::from(value));
        }
    }
    members
}

#[inline(never)]
fn place_by_text(key: &Bound<'_, PyAny>) -> Option<usize> {
    if class_of(key.as_borrowed()) != &raw mut pyo3::ffi::PyUnicode_Type {
        return None;
    }
    let text = utf8(key.as_borrowed())?;
    NAMES.iter().position(|name| name.as_bytes() == text)
}
