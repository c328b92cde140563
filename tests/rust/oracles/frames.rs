//! Frames put into a region, which is then damaged: what is found is what was put.

use std::collections::BTreeMap;

use logspool::mapping::Mapping;
use logspool::spool::frame::{ALIGN, Found, Kind, Region, size};

use super::Bytes;

/// What was put at a position, or the end of a lap.
enum Put {
    Frame {
        log: usize,
        kind: Kind,
        payload: Vec<u8>,
    },
    Wrap,
}

pub fn check(data: &[u8]) {
    let mut input = Bytes(data);
    let capacity = ALIGN * (4 + u64::from(input.u8()));
    let region = Region {
        map: Mapping::anonymous(usize::try_from(capacity).unwrap()).unwrap(),
        offset: 0,
        capacity,
        salt: input.u64() | 1 << 63,
    };
    // Somewhere in the ring's life.
    let mut position = u64::from(input.u16()) * ALIGN;
    let mut put = BTreeMap::new();
    for n in 0..input.u8() % 32 {
        let len = usize::from(input.u16()) % usize::try_from(capacity).unwrap();
        let need = size(len);
        if need > capacity {
            continue;
        }
        let to_end = region.to_end(position);
        if need > to_end {
            region.put_wrap(position, position % capacity);
            put.insert(position, (to_end, Put::Wrap));
            position += to_end;
        }
        let payload: Vec<u8> = (0..=255)
            .cycle()
            .map(|i: u8| i.wrapping_mul(n | 1))
            .take(len)
            .collect();
        let (log, kind) = (
            usize::from(n),
            if n % 3 == 0 {
                Kind::Announcement
            } else {
                Kind::Record
            },
        );
        region.put(position, position % capacity, log, kind, &payload);
        put.insert(position, (need, Put::Frame { log, kind, payload }));
        position += need;
    }
    // What the ring still holds: the last lap.
    let first = position.saturating_sub(capacity);
    put.retain(|at, _| *at >= first);
    let mut damaged = vec![false; usize::try_from(capacity).unwrap()];
    while !input.is_empty() {
        let at = usize::from(input.u16()) % damaged.len();
        let byte = input.u8();
        if region.map.bytes(at, 1)[0] != byte {
            damaged[at] = true;
            region.map.write(at, &[byte]);
        }
    }
    let start = first.next_multiple_of(ALIGN);
    for at in (start..position + capacity).step_by(usize::try_from(ALIGN).unwrap()) {
        let limit = (position + capacity).saturating_sub(at).min(capacity);
        let found = region.find(at, limit, true);
        let whole = |need: u64, of: usize| {
            let offset = usize::try_from(at % capacity).unwrap();
            let len = of.min(usize::try_from(need).unwrap());
            !damaged[offset..offset + len].contains(&true)
        };
        match (put.get(&at), found) {
            (
                Some((need, Put::Frame { log, kind, payload })),
                Found::Frame {
                    log: l,
                    kind: k,
                    payload: p,
                    next,
                },
            ) => {
                assert_eq!((*log, *kind, &payload[..]), (l, k, p), "at {at}");
                assert_eq!(next, at + need);
            }
            (Some((need, Put::Frame { payload, .. })), other) => {
                assert!(
                    !whole(*need, 24 + payload.len()),
                    "{other:?} for a whole frame at {at}"
                );
            }
            (Some((need, Put::Wrap)), Found::Wrap { next }) => assert_eq!(next, at + need),
            (Some((need, Put::Wrap)), other) => {
                assert!(!whole(*need, 16), "{other:?} for a wrap at {at}");
            }
            // A marker has no checksum: with the right position and length bytes it is one, and the ring is
            // searched on behind it.
            (None, Found::Frame { payload, .. }) => {
                panic!("{payload:?} was never put at {at}")
            }
            (None, Found::Wrap { .. } | Found::Damaged | Found::Nothing) => {}
        }
    }
}
