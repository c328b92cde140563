//! Keys of objects: any Python object becomes one, and no two of an object are the same.
#![allow(unsafe_code)]

use std::collections::HashSet;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::encode::{Encoder, Nest, class_of};
use super::fragments;
use super::text::utf8;
use super::verdict::Mark;
use crate::json;

impl<'py> Encoder<'py> {
    /// Appends `"key":` if the key is an ordinary string, and gives the verdict on it; `None`, with nothing written, otherwise.
    #[inline]
    pub(super) fn write_plain_key(
        &self,
        out: &mut Vec<u8>,
        key: Borrowed<'_, 'py, PyAny>,
    ) -> Option<Mark> {
        match fragments::write_key(self.py, out, key.as_ptr(), self.limits.text, self.verdicts) {
            None => self.write_new_key(out, key),
            known => known,
        }
    }

    /// The same for a key that is not known yet.
    #[inline(never)]
    fn write_new_key(&self, out: &mut Vec<u8>, key: Borrowed<'_, 'py, PyAny>) -> Option<Mark> {
        if class_of(key) != &raw mut ffi::PyUnicode_Type {
            return None;
        }
        let text = utf8(key).filter(|text| text.len() <= self.limits.text)?;
        json::write_quoted(out, text);
        out.push(b':');
        fragments::remember(key, text);
        Some(self.verdicts.judge(text))
    }

    /// Appends `"key":` for a key of any kind, and gives the verdict on it; one that would stand for a second time gets `#2`, `#3` …
    /// appended.
    #[inline(never)]
    pub(super) fn write_odd_key(
        &self,
        out: &mut Vec<u8>,
        key: Borrowed<'_, 'py, PyAny>,
        keys: &mut Keys,
    ) -> Mark {
        let text = self.text_of(key);
        out.push(b'"');
        out.extend_from_slice(&keys.unique(&text));
        out.extend_from_slice(b"\":");
        // Escapes have no part in what a name is recognised by.
        self.verdicts.judge(&text)
    }

    /// The text that stands for an object where JSON wants a string: escaped, without quotes. A scalar as its JSON value reads,
    /// anything with structure as `str` gives it.
    #[inline(never)]
    pub(super) fn text_of(&self, value: Borrowed<'_, 'py, PyAny>) -> Vec<u8> {
        self.scalar_of(value).unwrap_or_else(|| {
            let mut text = Vec::new();
            match value.cast::<PyBytes>() {
                // A payload, or it would have been a scalar.
                Ok(bytes) => self.write_told(&mut text, bytes.as_bytes()),
                Err(_) => self.write_str_of(&mut text, value),
            }
            unquoted(text)
        })
    }

    /// The same, `None` for what has structure.
    pub(super) fn scalar_of(&self, value: Borrowed<'_, 'py, PyAny>) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let written = self.write_value(&mut text, value, &Nest::TOP);
        if written.is_err() || matches!(text.first(), Some(b'{' | b'[') | None) {
            None
        } else {
            Some(unquoted(text))
        }
    }
}

/// Drops the quotes of a JSON string; other JSON text is left as it is.
fn unquoted(mut text: Vec<u8>) -> Vec<u8> {
    if text.len() >= 2 && text[0] == b'"' {
        text.pop();
        text.remove(0);
    }
    text
}

/// The keys of one object that are taken, tracked only where keys may collide: two keys of a dict differ, their texts need not.
#[derive(Default)]
pub(super) struct Keys {
    taken: Option<HashSet<Vec<u8>>>,
}

impl Keys {
    /// Reserves every ordinary string key of a dict, so that those keep their names. Once per object.
    pub(super) fn reserve_text_keys(&mut self, dict: Borrowed<'_, '_, PyAny>) {
        if self.taken.is_some() {
            return;
        }
        let mut taken = HashSet::new();
        let mut position = 0;
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: `dict` is a dict, and no code runs within the loop: what is borrowed stays alive.
        while unsafe {
            ffi::PyDict_Next(
                dict.as_ptr(),
                &raw mut position,
                &raw mut key,
                &raw mut value,
            )
        } != 0
        {
            // SAFETY: as above.
            let key = unsafe { Borrowed::from_ptr(dict.py(), key) };
            if class_of(key) == &raw mut ffi::PyUnicode_Type
                && let Some(text) = utf8(key)
            {
                let mut escaped = Vec::with_capacity(text.len());
                json::write_escaped(&mut escaped, text);
                taken.insert(escaped);
            }
        }
        self.taken = Some(taken);
    }

    /// Whether a key is taken.
    pub(super) fn holds(&self, escaped: &[u8]) -> bool {
        self.taken
            .as_ref()
            .is_some_and(|taken| taken.contains(escaped))
    }

    /// Appends `"name":` for a key of ours, which gives way to the user's.
    pub(super) fn write_note_key(&mut self, out: &mut Vec<u8>, name: &str) {
        out.push(b'"');
        out.extend_from_slice(&self.unique(name.as_bytes()));
        out.extend_from_slice(b"\":");
    }

    /// Takes a key that must keep its name.
    pub(super) fn take(&mut self, escaped: &[u8]) {
        self.taken.get_or_insert_default().insert(escaped.to_vec());
    }

    /// The key, made different from every one taken.
    pub(super) fn unique(&mut self, escaped: &[u8]) -> Vec<u8> {
        let taken = self.taken.get_or_insert_default();
        let mut key = escaped.to_vec();
        let mut number = 2;
        while !taken.insert(key.clone()) {
            key = [escaped, format!("#{number}").as_bytes()].concat();
            number += 1;
        }
        key
    }
}
