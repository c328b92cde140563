//! The one error type. Messages read `{what}: {path}: {cause}`, so that a user knows what failed, where, and why.

use std::{fmt, io};

use rustix::io::Errno;

/// What went wrong, with which path or setting, and why.
#[derive(Debug)]
pub struct Error {
    what: &'static str,
    path: String,
    cause: io::Error,
    /// The operating system's number for a refusal of ours.
    number: Option<i32>,
}

/// The result of everything that can fail for a reason a user can act on.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `what` at `path`, caused by `cause`.
    pub fn new(what: &'static str, path: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Self {
            what,
            path: path.into(),
            cause: cause.into(),
            number: None,
        }
    }

    /// What the operating system would have allowed and we do not: `number` is what it would have said, `why` a sentence.
    pub fn refused(
        what: &'static str,
        path: impl Into<String>,
        number: Errno,
        why: impl Into<String>,
    ) -> Self {
        Self {
            number: Some(number.raw_os_error()),
            ..Self::new(what, path, io::Error::other(why.into()))
        }
    }

    /// An error whose cause is a sentence of ours rather than the operating system's.
    pub fn invalid(what: &'static str, path: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(
            what,
            path,
            io::Error::new(io::ErrorKind::InvalidInput, why.into()),
        )
    }

    /// The cause alone, for those who name the path themselves.
    #[must_use]
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// The operating system's error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        // A sentence of ours may stand for what the system would have said.
        let denied = self.cause.kind() == io::ErrorKind::PermissionDenied;
        self.number
            .or_else(|| self.cause.raw_os_error())
            .or_else(|| denied.then(|| Errno::PERM.raw_os_error()))
    }
}

impl From<Error> for io::Error {
    /// Keeps the number, where there is one, for those who decide by it; else the sentence.
    fn from(e: Error) -> Self {
        match e.errno() {
            Some(errno) => Self::from_raw_os_error(errno),
            None => Self::other(e.to_string()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.what, self.path, self.cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Adds what and where to an [`io::Error`].
pub trait Context<T> {
    /// Names the operation and the path that failed.
    ///
    /// # Errors
    /// The error it was given, with its context.
    fn context(self, what: &'static str, path: &str) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: &'static str, path: &str) -> Result<T> {
        self.map_err(|cause| Error::new(what, path, cause))
    }
}
