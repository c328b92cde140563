//! The intent of an append, and where it lies in a state file: two slots of ten words, of which one is current.

pub(super) const AT_CURRENT: usize = 256;
pub(super) const AT_INTENTS: [usize; 2] = [320, 448];

/// An append under way: what the finisher needs, whoever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// The ring the bytes came from, and the log's number in it.
    pub ring: [u8; 8],
    /// Log number in that ring.
    pub slot: u64,
    /// What the ring is told on completion.
    pub reached: Reached,
    /// Segment number and its length before the append.
    pub segment: u64,
    /// Offset the bytes go to.
    pub offset: u64,
    /// Bytes staged and their checksum.
    pub len: u64,
    /// CRC-32C of the staged bytes.
    pub crc: u64,
    /// Of these, how many stand in an earlier segment already: whole lines, before somebody else's bytes.
    pub skip: u64,
}

/// How far a log is in segments, as its ring counts. Absolute numbers: they may be stored again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Everything before this position is done.
    pub to: u64,
    /// Records written since the ring was made.
    pub written: u64,
    /// Drops before this sequence number are announced.
    pub announced: u64,
}

impl Intent {
    /// The one that is current, where there is one; `word` reads the state file at an offset.
    pub(super) fn read(word: impl Fn(usize) -> u64) -> Option<Self> {
        let slot = usize::try_from(word(AT_CURRENT)).unwrap_or(0);
        let base = *AT_INTENTS.get(slot.checked_sub(1)?)?;
        let at = |i: usize| word(base + i * 8);
        Some(Self {
            ring: at(0).to_le_bytes(),
            slot: at(1),
            reached: Reached {
                to: at(2),
                written: at(3),
                announced: at(8),
            },
            segment: at(4),
            offset: at(5),
            len: at(6),
            crc: at(7),
            skip: at(9),
        })
    }

    /// Its words in their order.
    pub(super) fn words(&self) -> [u64; 10] {
        [
            u64::from_le_bytes(self.ring),
            self.slot,
            self.reached.to,
            self.reached.written,
            self.segment,
            self.offset,
            self.len,
            self.crc,
            self.reached.announced,
            self.skip,
        ]
    }
}
