//! An image pair, decoded: what can't be used is named with its file, and why.

use std::collections::HashMap;
use std::path::Path;

use super::spec::{ImageSpec, Spec};
use crate::decode::{self, Info, Options, Pixels};
use crate::error::Error;
use crate::view::View;

/// An 8-bit RGB image.
#[derive(Default)]
pub(super) struct Image {
    data: Vec<u8>,
    height: usize,
    width: usize,
    pub icc: bool,
    /// The profile that samples were converted from.
    pub converted_from: Option<String>,
    /// What is wrong with the file although its pixels are all there.
    pub notes: Vec<String>,
    /// BLAKE3 of the file, lower-case hex.
    pub blake3: String,
}

impl Image {
    fn load(root: &Path, file: &str, options: Options) -> Result<Self, (String, String)> {
        let read = |name: &str, bytes: &[u8]| {
            // Hashed while it is in memory anyway: it tells later whether the patch set is still that of its images.
            Ok((blake3::hash(bytes).to_hex().to_string(), decode::decode_bytes(name, bytes, options)?))
        };
        let (blake3, decoded) =
            decode::with_file(&root.join(file), read).map_err(|error| (file.to_string(), reason(error)))?;
        let Info { height, width, icc_profile: icc, converted_from, notes, .. } = decoded.info;
        match decoded.pixels {
            Pixels::U8(data) => Ok(Self { data, height, width, icc, converted_from, notes, blake3 }),
            Pixels::U16(_) => {
                Err((file.into(), "has 16 bits per channel, but a patch set stores 8; convert the image first".into()))
            }
        }
    }

    pub fn view(&self) -> View<'_, u8> {
        View::packed(&self.data, self.height, self.width, 3).expect("a decoded image holds height * width * 3 samples")
    }
}

/// The message of an error without the file name, which stands beside it.
fn reason(error: Error) -> String {
    match error {
        Error::Io { source, .. } => {
            format!("can't be read: {}; check the file and its permissions", crate::error::os_message(&source))
        }
        Error::Decode { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// Where a patch's top left corner lies (y, x) -> the row it went to.
pub(super) type Rows = HashMap<(usize, usize), u64>;

/// The reference that was decoded last, why it could not be, and the rows its patches went to.
#[derive(Default)]
pub(super) struct Reference {
    file: String,
    image: Option<Result<Image, (String, String)>>,
    rows: Rows,
}

pub(super) struct Pair<'a> {
    pub reference: &'a Image,
    pub distorted: Image,
    /// BLAKE3 of the file that was blended into it.
    pub blend_with: Option<String>,
}

impl<'a> Pair<'a> {
    /// The decoded pair, and the rows that the reference's patches went to; or the file at fault and the reason.
    pub fn load(
        spec: &ImageSpec,
        cache: &'a mut Reference,
        root: &Path,
        shard: &Spec,
    ) -> Result<(Self, &'a mut Rows), (String, String)> {
        let options = shard.decode;
        if cache.image.is_none() || cache.file != spec.reference {
            cache.rows.clear();
            cache.file.clone_from(&spec.reference);
            cache.image = Some(Image::load(root, &spec.reference, options));
        }
        let Reference { image, rows, .. } = cache;
        let reference = match image.as_ref() {
            Some(Ok(image)) => image,
            Some(Err(error)) => return Err(error.clone()),
            None => unreachable!("set above"),
        };
        let same_size = |file: &str, image: &Image| {
            if (image.height, image.width) == (reference.height, reference.width) {
                return Ok(());
            }
            let what = format!(
                "is {}x{} pixels, but its reference {} is {}x{}; make them the same size",
                image.width, image.height, spec.reference, reference.width, reference.height
            );
            Err((file.to_string(), what))
        };
        let mut distorted = Image::load(root, &spec.distorted, options)?;
        same_size(&spec.distorted, &distorted)?;
        let mut blend_with = None;
        if let Some(file) = &spec.blend_with {
            let other = Image::load(root, file, options)?;
            same_size(file, &other)?;
            for (a, &b) in distorted.data.iter_mut().zip(&other.data) {
                *a = (u16::from(*a) + u16::from(b)).div_ceil(2) as u8;
            }
            blend_with = Some(other.blake3);
        }
        if reference.height < shard.size || reference.width < shard.size {
            let what = format!(
                "is {}x{} pixels, smaller than a patch of {}x{}; choose a smaller patch size",
                distorted.width, distorted.height, shard.size, shard.size
            );
            return Err((spec.distorted.clone(), what));
        }
        Ok((Pair { reference, distorted, blend_with }, rows))
    }
}
