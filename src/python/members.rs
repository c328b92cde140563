//! The members of what a caller or a provider gives as usage, cost or prices: a dict, another mapping, or an object.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use smallvec::SmallVec;

use super::encode::{Encoder, class_of};
use super::held::Held;
use super::text::utf8;

/// Declares the names that are looked up, each with its place.
macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// A name that is looked up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
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
    cache_write_tokens, cache_creation_input_tokens, cache_write,
    cost, total_cost, input_tokens_cost, output_tokens_cost, currency, input_per_1m, output_per_1m, cached_per_1m, cache_write_per_1m,
}

const COUNT: usize = NAMES.len();

fn known(py: Python<'_>) -> &'static [Py<PyString>; COUNT] {
    static KNOWN: PyOnceLock<[Py<PyString>; COUNT]> = PyOnceLock::new();
    KNOWN.get_or_init(py, || NAMES.map(|name| PyString::intern(py, name).unbind()))
}

/// What a dict has under the names.
#[derive(Default)]
pub(super) struct Found<'py> {
    /// A bit for each name that is there and not `None`.
    names: u32,
    values: SmallVec<[(u8, Held<'py>); 4]>,
}

const _: () = assert!(COUNT <= 32);

impl<'py> Found<'py> {
    fn get(&self, name: Name) -> Option<Held<'py>> {
        let found = self.values.iter().find(|(place, _)| *place == name as u8);
        found.map(|(_, value)| value.share())
    }
}

/// What members are asked of.
pub(super) enum Members<'a, 'py> {
    /// A dict, read once.
    Dict(Found<'py>),
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

    /// Whether any of these may be there.
    #[inline]
    pub(super) fn may_have(&self, names: &[Name]) -> bool {
        match self {
            Self::Dict(found) => names
                .iter()
                .any(|name| found.names >> *name as u32 & 1 != 0),
            _ => true,
        }
    }

    /// The member of the first of these names that is there and not `None`.
    #[inline]
    pub(super) fn get(&self, encoder: &Encoder<'py>, names: &[Name]) -> Option<Held<'py>> {
        match self {
            Self::Dict(found) => names
                .iter()
                .filter(|name| found.names >> **name as u32 & 1 != 0)
                .find_map(|name| found.get(*name)),
            Self::Mapping(object) => Self::ask(encoder, object, true, names),
            Self::Object(object) => Self::ask(encoder, object, false, names),
        }
    }

    #[cold]
    fn ask(
        encoder: &Encoder<'py>,
        object: &Bound<'py, PyAny>,
        mapping: bool,
        names: &[Name],
    ) -> Option<Held<'py>> {
        let known = known(encoder.py);
        names.iter().find_map(|name| {
            let name = known[*name as usize].bind(encoder.py);
            let value = if !mapping {
                encoder.ok(object.getattr_opt(name)).flatten()
            } else if encoder.ok(object.contains(name)).unwrap_or(false) {
                encoder.ok(object.get_item(name))
            } else {
                None
            };
            value.filter(|value| !value.is_none()).map(Held::from)
        })
    }
}

/// One pass instead of a lookup for each name. Names in code are interned: most are found by their address.
fn read<'py>(dict: &Bound<'py, PyDict>) -> Found<'py> {
    let known = known(dict.py());
    let mut found = Found::default();
    let mut position = 0;
    let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: a live dict, in which no code changes anything while the loop runs: what is found is taken along.
    while unsafe {
        ffi::PyDict_Next(
            dict.as_ptr(),
            &raw mut position,
            &raw mut key,
            &raw mut value,
        )
    } != 0
    {
        // Taken along first: a look at a key's text may raise and so run the collector, and code with it.
        // SAFETY: as above.
        let (held_key, held) = unsafe {
            (
                Held::new(Borrowed::from_ptr(dict.py(), key)),
                Held::new(Borrowed::from_ptr(dict.py(), value)),
            )
        };
        let place = known
            .iter()
            .position(|name| name.as_ptr() == key)
            .or_else(|| place_by_text(held_key.as_borrowed()));
        if let Some(place) = place
            && !held.is_none()
        {
            found.names |= 1 << place;
            #[allow(clippy::cast_possible_truncation)] // Fewer than 32.
            found.values.push((place as u8, held));
        }
    }
    found
}

#[inline(never)]
fn place_by_text(key: Borrowed<'_, '_, PyAny>) -> Option<usize> {
    if class_of(key) != &raw mut ffi::PyUnicode_Type {
        return None;
    }
    let text = utf8(key)?;
    NAMES.iter().position(|name| name.as_bytes() == text)
}
