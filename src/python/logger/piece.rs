//! Pieces of a line that many calls share, copied whole: a few vector moves instead of a call.
#![allow(unsafe_code)]

/// Up to `ROOM` bytes of JSON; none where the text is longer.
#[derive(Clone, Copy)]
pub(super) struct Piece<const ROOM: usize> {
    len: usize,
    bytes: [u8; ROOM],
}

impl<const ROOM: usize> Piece<ROOM> {
    pub(super) const EMPTY: Self = Self {
        len: 0,
        bytes: [0; ROOM],
    };

    /// A piece of this text, empty if that is too long.
    pub(super) fn new(text: &[u8]) -> Self {
        let mut piece = Self::EMPTY;
        if let Some(room) = piece.bytes.get_mut(..text.len()) {
            room.copy_from_slice(text);
            piece.len = text.len();
        }
        piece
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends it.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.reserve(ROOM);
        // SAFETY: `ROOM` bytes were reserved, and the first `len` of those written become part of `out`.
        unsafe {
            let end = out.len();
            out.as_mut_ptr()
                .add(end)
                .cast::<[u8; ROOM]>()
                .write(self.bytes);
            out.set_len(end + self.len);
        }
    }
}
