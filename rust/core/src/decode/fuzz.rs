//! A fuzz target for each decoder: small sound files, damaged in the ways that files are damaged and attacked.
//!
//! `cargo test` runs a few thousand cases; `make fuzz` as many as you like, with further files to start from in
//! `PIXQ_FUZZ_SEEDS`. A file must decode to as many samples as it says, or be refused in one line by a decoder that did not panic.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::other::{self, Found, Request};
use super::tests::{at_most, files};
use super::{Alpha, Colour, Decoded, Options, Pixels, decode_bytes, probe_bytes};

const CASES: u32 = 5000;
/// Larger images take long without telling more.
const MOST_PIXELS: u64 = 1 << 16;
/// Values that have a meaning in many headers.
const ODD: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/// Something that happens to a file.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    /// Mostly near the start, where headers are.
    Header(u8, u8),
    Number(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, u8),
    Repeat(prop::sample::Index, u8),
    Append(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let value = || prop_oneof![any::<u8>(), prop::sample::select(&ODD[..])];
    let one = prop_oneof![
        3 => (any::<prop::sample::Index>(), value()).prop_map(|(at, value)| Damage::Set(at, value)),
        3 => (any::<u8>(), value()).prop_map(|(at, value)| Damage::Header(at, value)),
        1 => (any::<prop::sample::Index>(), any::<u32>()).prop_map(|(at, value)| Damage::Number(at, value)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Damage::Append),
    ];
    prop::collection::vec(one, 1..6)
}

fn apply(data: &mut Vec<u8>, damage: &Damage) {
    if data.is_empty() {
        return;
    }
    let length = data.len();
    match damage {
        Damage::Set(at, value) => data[at.index(length)] = *value,
        Damage::Header(at, value) => data[usize::from(*at) % length.min(128)] = *value,
        Damage::Number(at, value) => {
            let at = at.index(length);
            data.iter_mut().skip(at).zip(value.to_be_bytes()).for_each(|(byte, new)| *byte = new);
        }
        Damage::Cut(at) => data.truncate(at.index(length)),
        Damage::Remove(at, count) => {
            let at = at.index(length);
            data.drain(at..length.min(at + usize::from(*count)));
        }
        Damage::Repeat(at, count) => {
            let at = at.index(length);
            let piece = data[at..length.min(at + usize::from(*count))].to_vec();
            data.splice(at..at, piece);
        }
        Damage::Append(bytes) => data.extend_from_slice(bytes),
    }
}

/// Makes the checksums of a PNG right again, without which damage would never get past them.
fn mended(data: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = data.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(end) = (at + 8).checked_add(length).filter(|end| end + 4 <= data.len()) else { return };
        let crc = crc32fast::hash(&data[at + 4..end]);
        data[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}

/// The seeds of a format: ours, and the small files of `PIXQ_FUZZ_SEEDS`.
fn seeds(format: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = files().into_iter().map(|(_, data)| data).collect();
    let mut folders: Vec<_> = std::env::var_os("PIXQ_FUZZ_SEEDS").into_iter().map(std::path::PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.metadata().is_ok_and(|file| file.len() < 1 << 16) {
                seeds.extend(std::fs::read(path));
            }
        }
    }
    let is_it = |data: &Vec<u8>| probe_bytes("seed", data, Options::default()).is_ok_and(|info| info.format == format);
    seeds.retain(is_it);
    seeds
}

fn check(data: &[u8], options: Options) -> Result<(), TestCaseError> {
    match decode_bytes("file", data, options) {
        Ok(Decoded { pixels, channels, info }) => {
            let samples = info.height * info.width * channels;
            let length = match &pixels {
                Pixels::U8(samples) => samples.len(),
                Pixels::U16(samples) => samples.len(),
            };
            prop_assert_eq!(length, samples);
            prop_assert_eq!(matches!(pixels, Pixels::U16(_)), info.bit_depth == 16);
            prop_assert!((info.height * info.width) as u64 <= options.max_pixels);
            // The header promised all but what is seen on the way.
            let promised = probe_bytes("file", data, options).unwrap();
            prop_assert_eq!((promised.height, promised.width), (info.height, info.width));
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.starts_with("file: ") && !text.contains('\n') && !text.contains("gave up"), "{}", text);
        }
    }
    Ok(())
}

fn fuzz(format: &str) {
    let seeds = seeds(format);
    assert!(!seeds.is_empty(), "no seed of {format}");
    let usual = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { CASES };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..usual });
    let options = (any::<bool>(), any::<bool>(), prop::option::of(0_u32..3)).prop_map(|(raw, keep, frame)| Options {
        colour: if raw { Colour::Raw } else { Colour::Srgb },
        alpha: if keep { Alpha::Keep } else { Alpha::Refuse },
        frame,
        ..at_most(MOST_PIXELS)
    });
    runner
        .run(&(prop::sample::select(seeds), damage(), any::<bool>(), options), |(mut data, damage, mend, options)| {
            damage.iter().for_each(|damage| apply(&mut data, damage));
            if mend && format == "png" {
                mended(&mut data);
            }
            check(&data, options)
        })
        .unwrap();
}

#[test]
fn fuzz_png() {
    fuzz("png");
}

#[test]
fn fuzz_jpeg() {
    fuzz("jpeg");
}

#[test]
fn fuzz_bmp() {
    fuzz("bmp");
}

#[test]
fn fuzz_webp() {
    fuzz("webp");
}

#[test]
fn fuzz_tiff() {
    fuzz("tiff");
}

/// Whatever the other reader finds, what is read here of boxes is read without a panic.
#[test]
fn fuzz_boxes() {
    fn reader(request: Request<'_>) -> Result<Found, String> {
        let pixels = request.pixels.then(|| Pixels::U8(vec![7; 12]));
        let (icc_profile, several) = (None, request.bytes.len().is_multiple_of(7));
        Ok(Found {
            height: 2,
            width: 2,
            bit_depth: 8,
            alpha: false,
            grey: false,
            orientation: 1,
            icc_profile,
            several,
            pixels,
        })
    }
    other::set_reader(reader);
    let boxed = |kind: &[u8; 4], content: &[u8]| {
        let size = (content.len() as u32 + 8).to_be_bytes();
        [&size[..], kind, content].concat()
    };
    let colr = boxed(b"colr", b"nclx\0\x0c\0\x0d\0\x01\x80");
    let meta = boxed(b"meta", &[&[0; 4][..], &boxed(b"iprp", &boxed(b"ipco", &colr))].concat());
    let avif = [boxed(b"ftyp", b"avif\0\0\0\0avifmif1"), meta].concat();
    let jp2 = [boxed(b"jP  ", b"\r\n\x87\n"), boxed(b"jp2h", &boxed(b"colr", b"\x02\0\0profile"))].concat();
    let seeds = vec![avif, jp2, b"GIF89a".to_vec(), b"\xff\x0a".to_vec()];
    assert!(probe_bytes("avif", &seeds[0], Options::default()).unwrap().converted_from.unwrap().starts_with("cICP 12"));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    runner
        .run(&(prop::sample::select(seeds), damage()), |(mut data, damage)| {
            damage.iter().for_each(|damage| apply(&mut data, damage));
            check(&data, at_most(MOST_PIXELS))
        })
        .unwrap();
}

/// Files of no format at all, and of one by their first bytes alone.
#[test]
fn fuzz_bytes() {
    let starts = files().into_iter().map(|(_, data)| data[..12].to_vec()).chain([Vec::new()]).collect::<Vec<_>>();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    runner
        .run(&(prop::sample::select(starts), bytes), |(start, bytes)| {
            check(&[start, bytes].concat(), at_most(MOST_PIXELS))
        })
        .unwrap();
}
