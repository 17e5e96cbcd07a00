//! Samples to sRGB.
//!
//! What a file declares about its colours becomes a `moxcms` profile, and its samples are converted with the relative
//! colorimetric intent; colours outside sRGB are clipped. Everything is computed with 16 bits, so that 8- and 16-bit
//! files agree, by the crate's scalar code: its vector code gives other roundings on other processors.
//!
//! Samples whose profile *is* sRGB, whoever made it, are left alone bit for bit.

use std::sync::{Arc, Mutex};

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ProfileText, RenderingIntent, ToneReprCurve, TransferCharacteristics, Transform16BitExecutor,
    TransformOptions, XyY,
};

use super::header::{Pixels, Reason, WITHOUT_PROFILE};
use crate::parallel;

/// What a file declares about the colours of its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// An ICC profile.
    Icc(Arc<[u8]>),
    /// Code points of ITU-T H.273: primaries, transfer, matrix, whether the full range is used.
    Cicp([u8; 4]),
    /// A power function and, if they are known, the chromaticities of white, red, green and blue; in 100,000ths.
    Gamma(u32, Option<[u32; 8]>),
}

impl Declared {
    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        match self {
            Declared::Icc(bytes) => hasher.update(b"ICC").update(bytes),
            other => hasher.update(format!("{other:?}").as_bytes()),
        };
        hasher.finalize()
    }
}

/// The gamma of PNGs that are meant as sRGB, and sRGB's chromaticities, as the PNG specification (11.3.2.5) has them.
pub(super) const SRGB_GAMMA: u32 = 45455;
pub(super) const SRGB_CHROMATICITIES: [u32; 8] = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];

/// From the samples of a file to sRGB.
pub(super) struct Conversion {
    /// The name of the profile.
    pub from: String,
    samples: Samples,
}

enum Samples {
    Rgb(Arc<Transform16BitExecutor>),
    /// The colour of each grey sample.
    Grey(Vec<[u16; 3]>),
}

/// Conversions of the images before: images of a dataset mostly share one profile. Nobody waits for the lock, which a
/// fork may leave locked.
static RECENT: Mutex<Vec<(Key, Option<Arc<Conversion>>)>> = Mutex::new(Vec::new());
/// A hash of what was declared, and whether the image is grey: a profile may have megabytes.
type Key = (blake3::Hash, bool);
/// Conversions that are kept.
const KEPT: usize = 8;

/// The conversion to sRGB of an image that declares its colours; `None` if they are sRGB.
pub(super) fn conversion(declared: &Declared, grey: bool) -> Reason<Option<Arc<Conversion>>> {
    let key = (declared.hash(), grey);
    if let Ok(recent) = RECENT.try_lock()
        && let Some((_, known)) = recent.iter().find(|(other, _)| *other == key)
    {
        return Ok(known.clone());
    }
    let made = match profile(declared)? {
        Some((profile, from)) => Conversion::new(&profile, from, grey)?.map(Arc::new),
        None => None,
    };
    if let Ok(mut recent) = RECENT.try_lock() {
        if recent.len() >= KEPT {
            recent.remove(0);
        }
        recent.push((key, made.clone()));
    }
    Ok(made)
}

/// The profile and its name; `None` if it is sRGB by definition.
fn profile(declared: &Declared) -> Reason<Option<(ColorProfile, String)>> {
    match declared {
        Declared::Icc(bytes) => {
            let profile = ColorProfile::new_from_slice(bytes)
                .map_err(|error| format!("has an ICC profile that can't be read ({error}); {WITHOUT_PROFILE}"))?;
            if profile.cicp.is_some_and(|cicp| is_hdr(cicp.transfer_characteristics as u8)) {
                return Err(hdr("ICC profile"));
            }
            let name = profile.description.as_ref().map(text).unwrap_or_default();
            let name = if name.is_empty() { "an unnamed ICC profile".into() } else { name };
            Ok(Some((profile, name)))
        }
        &Declared::Cicp(code_points) => from_cicp(code_points),
        &Declared::Gamma(gamma, chromaticities) => from_gamma(gamma, chromaticities),
    }
}

/// The target. The crate's own has a slightly different white (0.31272, 0.32903), which moves saturated colours by up to a grey
/// level; this one is that of IEC 61966-2-1 and of the sRGB profiles in use.
fn srgb() -> ColorProfile {
    let mut profile = ColorProfile::new_srgb();
    profile.update_rgb_colorimetry(XyY::new(0.3127, 0.3290, 1.0), ColorPrimaries::BT_709);
    profile
}

fn is_hdr(transfer: u8) -> bool {
    matches!(transfer, 16 | 18)
}

fn hdr(what: &str) -> String {
    format!("is an HDR image (its {what} says PQ or HLG), which sRGB can't show; {WITHOUT_PROFILE}")
}

/// A profile of H.273's code points, with the transfer functions that browsers use: the camera curves of BT.709, 601 and
/// 2020 are shown with BT.1886's 2.4.
fn from_cicp([primaries, transfer, matrix, full_range]: [u8; 4]) -> Reason<Option<(ColorProfile, String)>> {
    if is_hdr(transfer) {
        return Err(hdr("cICP chunk"));
    }
    let gamma = match transfer {
        2 | 13 => None,
        1 | 6 | 14 | 15 => Some(2.4),
        4 => Some(2.2),
        5 => Some(2.8),
        8 => Some(1.0),
        _ => return Err(unsupported_cicp([primaries, transfer, matrix, full_range])),
    };
    if matrix != 0 || full_range != 1 {
        return Err(unsupported_cicp([primaries, transfer, matrix, full_range]));
    }
    // Unspecified primaries are sRGB's.
    let code = CicpColorPrimaries::try_from(if primaries == 2 { 1 } else { primaries });
    let code = code.map_err(|_| unsupported_cicp([primaries, transfer, matrix, full_range]))?;
    if code as u8 == 1 && gamma.is_none() {
        return Ok(None);
    }
    let mut profile = srgb();
    profile.update_rgb_colorimetry_from_cicp(CicpProfile {
        color_primaries: code,
        transfer_characteristics: TransferCharacteristics::Srgb,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    // What the crate knows nothing of, it leaves without code points.
    if profile.cicp.is_none() {
        return Err(unsupported_cicp([primaries, transfer, matrix, full_range]));
    }
    if let Some(gamma) = gamma {
        set_gamma(&mut profile, gamma);
    }
    Ok(Some((profile, format!("cICP {primaries}/{transfer}"))))
}

fn unsupported_cicp([primaries, transfer, matrix, full_range]: [u8; 4]) -> String {
    format!(
        "has a cICP chunk that pixq can't convert (primaries {primaries}, transfer {transfer}, matrix {matrix}, \
         range {full_range}); {WITHOUT_PROFILE}"
    )
}

/// A power function, as browsers take `gAMA`; 1/2.2 with no or sRGB's primaries stands for sRGB.
fn from_gamma(gamma: u32, chromaticities: Option<[u32; 8]>) -> Reason<Option<(ColorProfile, String)>> {
    if gamma.abs_diff(SRGB_GAMMA) <= 1 && chromaticities.is_none_or(|c| c == SRGB_CHROMATICITIES) {
        return Ok(None);
    }
    let mut profile = srgb();
    let mut name = format!("gAMA {}", f64::from(gamma) / 1e5);
    if let Some(chromaticities) = chromaticities {
        let [white, red, green, blue] =
            std::array::from_fn(|i| (chromaticities[2 * i] as f32 / 1e5, chromaticities[2 * i + 1] as f32 / 1e5));
        // Twice the area of the triangle of primaries; on a line they make no colours.
        let area = (green.0 - red.0) * (blue.1 - red.1) - (blue.0 - red.0) * (green.1 - red.1);
        if area.abs() < 1e-3 || [white, red, green, blue].iter().any(|point| point.1 <= 0.0) {
            return Err(format!("has a cHRM chunk of colours that can't be; {WITHOUT_PROFILE}"));
        }
        let point = |(x, y)| Chromaticity::new(x, y);
        let primaries = ColorPrimaries { red: point(red), green: point(green), blue: point(blue) };
        profile.update_rgb_colorimetry(point(white).to_xyyb(), primaries);
        name += " and cHRM";
    }
    set_gamma(&mut profile, 1e5 / gamma as f32);
    Ok(Some((profile, name)))
}

fn set_gamma(profile: &mut ColorProfile, gamma: f32) {
    let curve = Some(ToneReprCurve::Parametric(vec![gamma]));
    (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
    profile.cicp = None;
}

/// A profile's text in one short line.
fn text(text: &ProfileText) -> String {
    let text = match text {
        ProfileText::PlainString(text) => text,
        ProfileText::Localizable(texts) => {
            let english = texts.iter().find(|text| text.language == "en");
            english.or(texts.first()).map_or("", |text| &text.value)
        }
        ProfileText::Description(text) if text.ascii_string.is_empty() => &text.unicode_string,
        ProfileText::Description(text) => &text.ascii_string,
    };
    text.replace(char::is_control, " ").trim().chars().take(80).collect()
}

impl Conversion {
    fn new(profile: &ColorProfile, from: String, grey: bool) -> Reason<Option<Self>> {
        let layout = match profile.color_space {
            DataColorSpace::Rgb => Layout::Rgb,
            DataColorSpace::Gray if grey => Layout::Gray,
            other => {
                let image = if grey { "grey" } else { "RGB" };
                let other =
                    if other == DataColorSpace::Gray { "grey".into() } else { format!("{other:?}").to_uppercase() };
                return Err(format!(
                    "is {image}, but its ICC profile ({from}) is for {other} images; {WITHOUT_PROFILE}"
                ));
            }
        };
        let options = TransformOptions {
            rendering_intent: RenderingIntent::RelativeColorimetric,
            allow_use_cicp_transfer: false,
            prefer_fixed_point: false,
            ..TransformOptions::default()
        };
        let unusable = |error| format!("has colours that can't be converted ({from}: {error}); {WITHOUT_PROFILE}");
        let transform = profile.create_transform_16bit(layout, &srgb(), Layout::Rgb, options).map_err(unusable)?;
        let convert = |input: Vec<u16>, out: usize| {
            let mut output = vec![0; out];
            transform.transform(&input, &mut output).map(|()| output).map_err(unusable)
        };
        if grey {
            let ramp = match layout {
                Layout::Gray => (0..=u16::MAX).collect::<Vec<_>>(),
                _ => (0..=u16::MAX).flat_map(|value| [value; 3]).collect(),
            };
            let colours = convert(ramp, 3 << 16)?.as_chunks::<3>().0.to_vec();
            let same = (0..=255).all(|value| agree(value, colours[usize::from(value) * 257]));
            return Ok((!same).then_some(Self { from, samples: Samples::Grey(colours) }));
        }
        // A lattice and the greys: a profile that is sRGB leaves all of them in place.
        let lattice = (0..16_usize.pow(3)).map(|i| [i / 256, i / 16 % 16, i % 16].map(|value| value as u16 * 17));
        let places: Vec<_> = lattice.chain((0..256).map(|value| [value; 3])).collect();
        let colours = convert(places.iter().flatten().map(|value| value * 257).collect(), places.len() * 3)?;
        let mut pairs = places.iter().flatten().zip(&colours);
        let same = pairs.all(|(&value, &colour)| value.abs_diff(narrow(colour).into()) <= 1);
        Ok((!same).then_some(Self { from, samples: Samples::Rgb(transform) }))
    }

    /// Converts pixels of 3 or 4 channels in place; the fourth is alpha.
    pub fn apply(&self, pixels: &mut Pixels, channels: usize) -> Reason<()> {
        match pixels {
            Pixels::U8(samples) => self.bands(samples, channels, |value| u16::from(value) * 257, narrow),
            Pixels::U16(samples) => self.bands(samples, channels, |value| value, |value| value),
        }
    }

    fn bands<T: Copy + Send>(
        &self,
        samples: &mut [T],
        channels: usize,
        widen: impl Fn(T) -> u16 + Sync + Send,
        narrow: impl Fn(u16) -> T + Sync + Send,
    ) -> Reason<()> {
        let (total, failed) = (samples.len(), std::sync::atomic::AtomicBool::new(false));
        let jobs: Vec<_> = samples.chunks_mut(BAND * channels).collect();
        parallel::for_each(total, jobs, |band| {
            if self.band(band, channels, &widen, &narrow).is_none() {
                failed.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        if failed.into_inner() {
            return Err(format!("has colours that can't be converted ({}); {WITHOUT_PROFILE}", self.from));
        }
        Ok(())
    }

    fn band<T: Copy>(
        &self,
        band: &mut [T],
        channels: usize,
        widen: impl Fn(T) -> u16,
        narrow: impl Fn(u16) -> T,
    ) -> Option<()> {
        match &self.samples {
            Samples::Grey(colours) => {
                for pixel in band.chunks_exact_mut(channels) {
                    let colour = colours[usize::from(widen(pixel[0]))];
                    pixel.iter_mut().zip(colour).for_each(|(sample, value)| *sample = narrow(value));
                }
            }
            Samples::Rgb(transform) => {
                let (mut input, mut output) = ([0; 3 * ROW], [0; 3 * ROW]);
                for row in band.chunks_mut(ROW * channels) {
                    let pixels = row.len() / channels;
                    let (input, output) = (&mut input[..3 * pixels], &mut output[..3 * pixels]);
                    for (wide, pixel) in input.as_chunks_mut::<3>().0.iter_mut().zip(row.chunks_exact(channels)) {
                        *wide = [widen(pixel[0]), widen(pixel[1]), widen(pixel[2])];
                    }
                    transform.transform(input, output).ok()?;
                    for (pixel, &wide) in row.chunks_exact_mut(channels).zip(output.as_chunks::<3>().0) {
                        pixel.iter_mut().zip(wide).for_each(|(sample, value)| *sample = narrow(value));
                    }
                }
            }
        }
        Some(())
    }
}

/// Pixels that one job converts, and those that stay in cache.
const BAND: usize = 1 << 16;
const ROW: usize = 512;

/// Whether a grey and a colour differ by at most one of 256 levels.
fn agree(grey: u16, colour: [u16; 3]) -> bool {
    colour.iter().all(|&value| grey.abs_diff(narrow(value).into()) <= 1)
}

/// 16 bits rounded to 8.
fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}
