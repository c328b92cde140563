//! The file system under a directory.

use std::path::Path;

use serde_json::{Value, json};

use super::Told;
use crate::cli::{bytes, grouped};

/// Free space below which a disk is nearly full: this much, or a fiftieth.
const LITTLE: u64 = 64 << 20;

/// Tells type, free space and inodes of the file system that holds `path`.
pub fn tell(path: &Path, what: &str, told: &mut Told) -> Value {
    let (Ok(kind), Ok(size)) = (rustix::fs::statfs(path), rustix::fs::statvfs(path)) else {
        told.line(format!("  {what:<14} its file system does not answer"));
        told.problem(format!(
            "The file system of {} does not say how full it is: look whether its device or server answers.",
            path.display()
        ));
        return Value::Null;
    };
    let free = size.f_bavail * size.f_frsize;
    let total = size.f_blocks * size.f_frsize;
    let name = type_name(kind_of(&kind));
    told.line(format!(
        "  {what:<14} {name}, {} free of {}{}",
        bytes(free),
        bytes(total),
        if size.f_files > 0 {
            format!(", {} inodes free", grouped(size.f_favail))
        } else {
            String::new()
        }
    ));
    if size.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        told.problem(format!(
            "{} is on a file system that is mounted read-only: nothing can be logged there. Remount it (`mount -o remount,rw`), or \
             set LOG_DIR to another place.",
            path.display()
        ));
    }
    if total > 0 && free < LITTLE.min(total / 4).max(total / 50) {
        told.problem(format!(
            "The disk of {} is nearly full ({} free): records then wait in the spool, and are dropped once it is full. Make room, or \
             keep less (LOG_BACKUPS, LOG_ROTATE_SIZE).",
            path.display(),
            bytes(free)
        ));
    }
    if size.f_files > 0 && size.f_favail < (size.f_files / 100).min(1000) {
        told.problem(format!(
            "The file system of {} has only {} inodes left: no new segment can be created once they are used up. Delete files.",
            path.display(),
            grouped(size.f_favail)
        ));
    }
    if matches!(name, "nfs" | "cifs" | "smb2" | "fuse" | "9p") {
        told.problem(format!(
            "{} is on {name}: where that cannot reserve a mapping, records wait in memory and do not survive a kill. Set \
             LOG_SPOOL_DIR=shm, or log to a local disk.",
            path.display()
        ));
    }
    json!({"type": name, "free_bytes": free, "total_bytes": total, "free_inodes": size.f_favail, "inodes": size.f_files})
}

#[allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    clippy::unnecessary_cast
)]
// A magic number of 32 bits, whatever the platform's type for it is.
fn kind_of(kind: &rustix::fs::StatFs) -> u32 {
    kind.f_type as u32
}

fn type_name(magic: u32) -> &'static str {
    match magic {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        0x8584_58F6 => "ramfs",
        0x794C_7630 => "overlay",
        0x6969 => "nfs",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb2",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        0x2FC1_2FC1 => "zfs",
        0xF2F5_2010 => "f2fs",
        0x4D44 => "vfat",
        0x2011_BAB0 => "exfat",
        0x7371_7368 => "squashfs",
        _ => "a file system of another type",
    }
}
