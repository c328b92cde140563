//! Where a line is written before it is committed: one buffer a thread, kept between records.

use std::cell::Cell;

/// A buffer that grew beyond this for one large record is not kept.
const KEEP: usize = 64 << 10;

/// A buffer from this thread's slot, put back when dropped: a nested call finds the slot empty and gets its own.
pub struct Buffer {
    /// What is being written.
    pub bytes: Vec<u8>,
}

thread_local!(static SLOT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

impl Buffer {
    /// An empty buffer, with the capacity an earlier one left.
    #[inline]
    pub fn take() -> Self {
        let bytes = SLOT.try_with(Cell::take).unwrap_or_default();
        Self { bytes }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() <= KEEP {
            bytes.clear();
            // At the end of a thread its slot is gone: the buffer goes too.
            let _ = SLOT.try_with(|slot| slot.set(bytes));
        }
    }
}
