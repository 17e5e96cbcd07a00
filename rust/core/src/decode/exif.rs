//! TIFF directories, which EXIF uses as well: tags and where their values stand.

/// One tag of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub tag: u16,
    kind: u16,
    pub count: u64,
    /// Where the value starts in the data.
    pub at: usize,
}

/// A directory and the data it points into.
pub(super) struct Directory<'a> {
    data: &'a [u8],
    big_endian: bool,
    /// BigTIFF.
    big: bool,
    entries: Vec<Entry>,
    /// Where the next directory (a page) starts; 0 if none follows.
    next: u64,
}

impl<'a> Directory<'a> {
    /// The first directory of TIFF data, classic or BigTIFF; `None` if it is not inside the data.
    pub fn first(data: &'a [u8]) -> Option<Self> {
        let big_endian = match data.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let mut this = Directory { data, big_endian, big: false, entries: Vec::new(), next: 0 };
        this.big = match this.number(2, 2)? {
            42 => false,
            43 => true,
            _ => return None,
        };
        let start = if this.big { this.number(8, 8)? } else { this.number(4, 4)? };
        this.read(start)?;
        Some(this)
    }

    /// Whether another directory (a page) follows.
    pub fn has_more(&self) -> bool {
        self.next != 0
    }

    /// The directory after `index` others; `None` if there is none.
    pub fn page(mut self, index: u32) -> Option<Self> {
        // More directories than six bytes each allow would go round in circles.
        if index as usize > self.data.len() / 6 {
            return None;
        }
        for _ in 0..index {
            if !self.has_more() {
                return None;
            }
            self.read(self.next)?;
        }
        Some(self)
    }

    /// Reads the directory at `start`.
    fn read(&mut self, start: u64) -> Option<()> {
        // Widths of: an offset, the number of entries, one entry; and where the value is in an entry.
        let (offset, counter, entry, value) = if self.big { (8, 8, 20, 12) } else { (4, 2, 12, 8) };
        let start = usize::try_from(start).ok()?;
        let count = usize::try_from(self.number(start, counter)?).ok()?;
        let table = start.checked_add(counter)?;
        let end = count.checked_mul(entry).and_then(|n| n.checked_add(table)).filter(|&end| end <= self.data.len())?;
        self.entries.clear();
        for at in (table..end).step_by(entry) {
            let (tag, kind) = (self.number(at, 2)? as u16, self.number(at + 2, 2)? as u16);
            let count = self.number(at + 4, offset)?;
            let inline = width(kind).checked_mul(count).is_some_and(|bytes| bytes <= offset as u64);
            let at = at + value;
            let at = if inline { at } else { usize::try_from(self.number(at, offset)?).ok()? };
            self.entries.push(Entry { tag, kind, count, at });
        }
        self.next = self.number(end, offset).unwrap_or(0);
        Some(())
    }

    /// The tag's entry; of several the first, as in Pillow.
    pub fn find(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.tag == tag).copied()
    }

    /// The `index`-th value of `entry`, if it is a whole number.
    pub fn value(&self, entry: Entry, index: usize) -> Option<u64> {
        let bytes = match entry.kind {
            1 | 3 | 4 | 16 => width(entry.kind) as usize,
            _ => return None,
        };
        if index as u64 >= entry.count {
            return None;
        }
        self.number(entry.at.checked_add(index.checked_mul(bytes)?)?, bytes)
    }

    /// The first value of `tag`; `default` where the tag is missing.
    pub fn first_value(&self, tag: u16, default: u64) -> Option<u64> {
        self.find(tag).map_or(Some(default), |entry| self.value(entry, 0))
    }

    /// The orientation, tag 274: 1..=8, and 1 for what makes no sense.
    pub fn orientation(&self) -> u8 {
        match self.find(274).filter(|entry| entry.count == 1).and_then(|entry| self.value(entry, 0)) {
            Some(value @ 1..=8) => value as u8,
            _ => 1,
        }
    }

    fn number(&self, at: usize, bytes: usize) -> Option<u64> {
        let bytes = self.data.get(at..at.checked_add(bytes)?)?;
        let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }
}

/// Bytes of one value of a TIFF type.
fn width(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 1,
    }
}

/// The orientation in an EXIF block, with or without its `Exif\0\0`; 1 if there is none.
pub(super) fn orientation(block: &[u8]) -> u8 {
    let data = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    Directory::first(data).map_or(1, |directory| directory.orientation())
}
