//! Names of rings: eight random characters, which are also how a record's `seq` begins.

/// The name of a ring file.
#[must_use]
pub fn file_name(id: [u8; 8]) -> String {
    format!("{}.ring", name_of(id))
}

/// A ring id as text.
#[must_use]
pub fn name_of(id: [u8; 8]) -> String {
    String::from_utf8_lossy(&id).into_owned()
}

/// What ring ids are made of.
pub(super) const ID: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Eight random characters that need no escaping anywhere: 40 bits.
pub(super) fn random_id() -> [u8; 8] {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    bytes.map(|b| ID[usize::from(b) % ID.len()])
}

pub(super) fn fill_random(bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[at..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => at += n,
            Err(rustix::io::Errno::INTR) => {}
            // Without an entropy source the clock still tells two rings apart.
            Err(_) => {
                let nanos = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |d| d.subsec_nanos())
                    .to_le_bytes();
                for (i, byte) in bytes[at..].iter_mut().enumerate() {
                    *byte = nanos[i % 4] ^ u8::try_from(i).unwrap_or(0);
                }
                return;
            }
        }
    }
}
