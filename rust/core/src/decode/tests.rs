//! Sound files in every format, damaged ones, and the orientation. The comparison with Pillow is in Python.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

const HEIGHT: usize = 9;
const WIDTH: usize = 14;

pub(super) fn at_most(max_pixels: u64) -> Options {
    Options { max_pixels, ..Options::default() }
}

fn rgb() -> Vec<u8> {
    (0..HEIGHT * WIDTH * 3).map(|i| (i * 37 % 251) as u8).collect()
}

fn a_png(colour: ::png::ColorType, depth: ::png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut out, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_filter(::png::Filter::Adaptive);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    out
}

fn a_jpeg(progressive: bool) -> Vec<u8> {
    let pixels = rgb();
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    compressor.set_progressive(progressive).unwrap();
    compressor.set_subsamp(turbojpeg::Subsamp::Sub2x2).unwrap();
    let format = turbojpeg::PixelFormat::RGB;
    let image = turbojpeg::Image { pixels: &pixels[..], width: WIDTH, pitch: WIDTH * 3, height: HEIGHT, format };
    compressor.compress_to_vec(image).unwrap()
}

fn a_bmp() -> Vec<u8> {
    let mut out = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    out.extend((WIDTH as u32).to_le_bytes());
    // The top row first.
    out.extend((-(HEIGHT as i32)).to_le_bytes());
    out.extend(b"\x01\0\x18\0");
    out.extend([0; 24]);
    for row in rgb().chunks(WIDTH * 3) {
        out.extend(row.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]));
        out.extend([0; (WIDTH * 3).next_multiple_of(4) - WIDTH * 3]);
    }
    out
}

fn a_webp() -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut out);
    encoder.encode(&rgb(), WIDTH as u32, HEIGHT as u32, image_webp::ColorType::Rgb8).unwrap();
    out
}

fn a_tiff(compression: ::tiff::encoder::Compression) -> Vec<u8> {
    use ::tiff::encoder::{TiffEncoder, colortype::RGB8};
    let mut out = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut out).unwrap().with_compression(compression);
    encoder.write_image::<RGB8>(WIDTH as u32, HEIGHT as u32, &rgb()).unwrap();
    out.into_inner()
}

/// A file of each format; all but the JPEGs hold [`rgb`].
pub(super) fn files() -> Vec<(&'static str, Vec<u8>)> {
    use ::png::{BitDepth, ColorType};
    use ::tiff::encoder::Compression;
    let wide: Vec<u8> = rgb().iter().flat_map(|&value| [value, 9]).collect();
    vec![
        ("png", a_png(ColorType::Rgb, BitDepth::Eight, &rgb())),
        ("deep png", a_png(ColorType::Rgb, BitDepth::Sixteen, &wide)),
        ("grey png", a_png(ColorType::Grayscale, BitDepth::Four, &rgb()[..HEIGHT * WIDTH / 2])),
        ("bmp", a_bmp()),
        ("webp", a_webp()),
        ("tiff", a_tiff(Compression::Uncompressed)),
        ("tiff by lzw", a_tiff(Compression::Lzw)),
        ("jpeg", a_jpeg(false)),
        ("progressive jpeg", a_jpeg(true)),
    ]
}

#[test]
fn lossless_files_hold_what_was_put_in() {
    for (name, data) in files() {
        let found = decode_bytes(name, &data, Options::default()).unwrap();
        assert_eq!((found.info.height, found.info.width), (HEIGHT, WIDTH), "{name}");
        assert_eq!(probe_bytes(name, &data, Options::default()).unwrap(), found.info, "{name}");
        match found.pixels {
            Pixels::U8(_) if name.contains("jpeg") || name.contains("grey") => {}
            Pixels::U8(pixels) => assert_eq!(pixels, rgb(), "{name}"),
            Pixels::U16(pixels) => {
                let expected: Vec<u16> = rgb().iter().map(|&value| u16::from(value) << 8 | 9).collect();
                assert_eq!(pixels, expected, "{name}");
            }
        }
    }
}

#[test]
fn the_size_is_checked_against_the_limit_exactly() {
    let pixels = (HEIGHT * WIDTH) as u64;
    for (name, data) in files() {
        assert!(decode_bytes(name, &data, at_most(pixels)).is_ok(), "{name}");
        let said = decode_bytes(name, &data, at_most(pixels - 1)).unwrap_err().to_string();
        assert_eq!(
            said,
            format!("{name}: is 14x9, more than the limit of 125 pixels; raise max_pixels if you trust the file")
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    for (name, data) in files() {
        // What is cut first from a TIFF may be metadata, from a WebP and a BMP padding.
        let spare = if name.contains("tiff") { data.len() / 2 } else { 2 };
        for length in 0..data.len() - spare {
            let said = decode_bytes(name, &data[..length], at_most(1 << 16)).map(|_| length).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{name}: ")) && !said.contains('\n'), "{said:?}");
        }
    }
}

#[test]
fn a_panic_becomes_an_error() {
    let said = guarded::<()>("a file", || panic!("as a decoder might")).unwrap_err().to_string();
    assert_eq!(said, "a file: can't be decoded (the decoder gave up on damaged data); get an intact copy of the file");
}

#[test]
fn a_name_with_a_line_break_stays_in_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two\nlines.png");
    std::fs::write(&path, b"no image").unwrap();
    let said = decode_path(&path, Options::default()).unwrap_err().to_string();
    assert!(said.contains("two\u{fffd}lines.png: is not a PNG, JPEG, BMP, WebP, TIFF, GIF, AVIF,"), "{said}");
    assert!(said.ends_with(" or JPEG XL image; convert it to one of these formats"), "{said}");
}

#[test]
fn what_is_no_image_is_not_read_to_its_end() {
    // It has none.
    assert!(decode_path(Path::new("/dev/zero"), Options::default()).is_err());
}

proptest! {
    /// Turned twice, by an orientation and by the one that undoes it, an image is what it was.
    #[test]
    fn orientations_undo_one_another(height in 1_usize..70, width in 1_usize..70, value in 1_u8..9) {
        let stored: Vec<u16> = (0..height * width * 3).map(|i| i as u16).collect();
        let turned = orient::apply::<3>(Pixels::U16(stored.clone()), height, width, value).unwrap();
        let back = match value { 6 => 8, 8 => 6, other => other };
        let (rows, columns) = if value >= 5 { (width, height) } else { (height, width) };
        prop_assert_eq!(orient::apply::<3>(turned, rows, columns, back).unwrap(), Pixels::U16(stored));
    }
}
