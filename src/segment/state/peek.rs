//! A look at a log's state file by somebody who must disturb nobody: nothing is locked, mapped, created or written.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::pread;

use super::{
    AT_CREATING, AT_MAGIC, AT_SEGMENT, AT_SETTINGS, AT_VERSION, Current, HEADER, Intent, MAGIC,
    STAGING, VERSION, unpack_settings,
};
use crate::config::LogSettings;

/// The format version that is understood.
pub const KNOWN: u64 = VERSION;
/// Reads of the header until two agree: a writer at work changes it all the time.
const TRIES: usize = 50;

/// What a state file says.
#[derive(Clone, Debug)]
pub struct Peek {
    /// The segment being written.
    pub current: Current,
    /// The number of a segment that was about to be created; 0 is none.
    pub creating: u64,
    /// The settings in force.
    pub settings: Option<LogSettings>,
    /// The append under way, or that a killed process left.
    pub intent: Option<Intent>,
    /// The bytes of that append, where they are whole.
    pub staged: Option<Vec<u8>>,
}

impl Peek {
    /// How many lines the append under way has, as far as they are whole.
    #[must_use]
    pub fn lines_staged(&self) -> u64 {
        let staged = self.staged.as_deref().unwrap_or_default();
        memchr::memchr_iter(b'\n', staged).count() as u64
    }
}

/// What stands under a state file's name.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A state of this format.
    State(Box<Peek>),
    /// A file that its maker has not filled in.
    Fresh,
    /// A state of another format version.
    OtherVersion(u64),
    /// Something else.
    NotAState,
}

/// Reads the state file `file` in `own`.
///
/// # Errors
/// When it cannot be opened or read.
pub fn peek(own: BorrowedFd<'_>, file: &str) -> io::Result<Seen> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = openat(own, file, flags, Mode::empty())?;
    let mut head = vec![0; HEADER];
    let mut again = vec![0; HEADER];
    let mut staged = None;
    for _ in 0..TRIES {
        let read = pread(&fd, &mut head, 0)?;
        if read < HEADER {
            return Ok(if head[..read].iter().all(|b| *b == 0) {
                Seen::Fresh
            } else {
                Seen::NotAState
            });
        }
        staged = Intent::read(|at| word(&head, at)).and_then(|intent| {
            let len = usize::try_from(intent.len).ok().filter(|l| *l <= STAGING)?;
            let mut bytes = vec![0; len];
            let read = pread(&fd, &mut bytes, HEADER as u64).ok()?;
            (read == len && u64::from(crc32c::crc32c(&bytes)) == intent.crc).then_some(bytes)
        });
        pread(&fd, &mut again, 0)?;
        if head == again {
            break;
        }
    }
    match (word(&head, AT_MAGIC), word(&head, AT_VERSION)) {
        (0, 0) => return Ok(Seen::Fresh),
        (MAGIC, VERSION) => {}
        (MAGIC, other) => return Ok(Seen::OtherVersion(other)),
        _ => return Ok(Seen::NotAState),
    }
    let at = |i: usize| word(&head, AT_SEGMENT + i * 8);
    let set = |i: usize| word(&head, AT_SETTINGS + i * 8);
    Ok(Seen::State(Box::new(Peek {
        current: Current {
            number: at(0),
            id: (at(1), at(2)),
            size: at(3),
            rollover_at: at(4),
        },
        creating: word(&head, AT_CREATING),
        settings: (set(7) != 0).then(|| unpack_settings([set(0), set(1), set(2), set(3), set(4)])),
        intent: Intent::read(|at| word(&head, at)),
        staged,
    })))
}

fn word(head: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| head[at + i]))
}
