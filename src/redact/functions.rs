//! Rules that are functions of the program's own.

use std::fmt::Debug;

/// A function that failed: what it made of the text cannot be used, and neither can the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What the program does to every text that is logged.
pub trait Function: Debug + Send + Sync {
    /// What the rule is called.
    fn name(&self) -> &str;

    /// The text it makes of `text`; `None` if it is the same.
    ///
    /// # Errors
    /// It raised, or gave no text.
    fn apply(&self, text: &str) -> Result<Option<String>, Failed>;
}
