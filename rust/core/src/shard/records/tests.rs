use super::*;
use proptest::prelude::*;

fn image(id: &str, distortion: &str) -> ImageSpec {
    ImageSpec {
        image_id: id.into(),
        reference: "r".into(),
        distorted: "d".into(),
        blend_with: None,
        distortion_type: distortion.into(),
        mos: 4.25,
        quality: 0.5,
    }
}

fn written(id: &str, distortion: &str, line: &Line) -> Vec<u8> {
    let mut writer = LineWriter::new(Vec::new());
    let part = writer.image(&image(id, distortion));
    writer.write(&part, line).unwrap();
    writer.into_inner()
}

prop_compose! {
    fn lines()(
        patch_id in 0u64..1 << 32, y in 0u64..1 << 32, x in 0u64..1 << 32,
        psnr in proptest::option::of(0.0..200.0f64), psnr_roi in proptest::option::of(0.0..200.0f64),
        kind in 0..4, alpha in 0.0..=1.0f64, quality in 0.0..=1.0f64,
        reference_row in 0u64..1 << 32, distorted_row in 0u64..1 << 32, identical: bool,
    ) -> Line {
        let fusion = [Fusion::NONE, Fusion::COPY, Fusion::blend(alpha), Fusion::PASTE][kind as usize];
        Line { patch_id, y, x, psnr, fusion, quality, reference_row, distorted_row, psnr_roi, identical }
    }
}

proptest! {
    /// What is written is standard JSON, and scanning it gives what serde_json gives.
    #[test]
    fn the_scan_agrees_with_serde_json(line in lines(), id in "[a-zA-Z0-9_ .é-]{0,12}") {
        let bytes = written(&id, "07 noise", &line);
        let text = bytes.strip_suffix(b"\n").unwrap();
        let any: AnyLine<'_> = serde_json::from_slice(text).unwrap();
        let (mut by_serde, mut by_scan) = (Columns::default(), Columns::default());
        by_serde.push(0, &any).unwrap();
        by_scan.push(0, &scan(text).expect("our own layout is scanned")).unwrap();
        prop_assert_eq!(format!("{by_serde:?}"), format!("{by_scan:?}"));
        prop_assert_eq!(&any.image_id, &id);
        prop_assert_eq!(by_scan.quality[0].to_bits(), line.quality.to_bits());
        prop_assert_eq!(by_scan.psnr[0].to_bits(), line.psnr.unwrap_or(f64::INFINITY).to_bits());
        prop_assert_eq!(u64::from(by_scan.distorted_row[0]), line.distorted_row);
    }

    /// Names that need escapes take the other way and come back whole.
    #[test]
    fn any_name_survives(line in lines(), id in any::<String>(), distortion in any::<String>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard.jsonl");
        std::fs::write(&path, written(&id, &distortion, &line)).unwrap();
        let columns = read(&path, &["another".into(), id.clone()]).unwrap();
        prop_assert_eq!(columns.image, vec![if id == "another" { 0 } else { 1 }]);
    }

    /// Damage to any bytes of a line: the scan takes only what serde_json takes, with the same values.
    #[test]
    fn the_scan_takes_nothing_that_is_not_json(
        line in lines(), id in "[a-z]{0,4}", damage in damage(), number in "-?[0-9.]{1,4}(e[0-9]{1,3})?",
    ) {
        let bytes = written(&id, "07 noise", &line);
        let damaged = damage.done_to(&bytes);
        let text = String::from_utf8(bytes).unwrap();
        let at = text.find("\"quality\":").unwrap() + "\"quality\":".len();
        let end = at + text[at..].find(',').unwrap();
        let other = format!("{}{number}{}", &text[..at], &text[end..]).into_bytes();
        for bytes in [damaged, other] {
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let Some(scanned) = scan(text) else { continue };
            let any: AnyLine<'_> = serde_json::from_slice(text).expect("what is scanned is JSON");
            let (mut by_serde, mut by_scan) = (Columns::default(), Columns::default());
            prop_assert_eq!(by_serde.push(0, &any), by_scan.push(0, &scanned));
            prop_assert_eq!(format!("{by_serde:?}"), format!("{by_scan:?}"));
            prop_assert_eq!(any.image_id, scanned.image_id);
        }
    }

    /// A file of any bytes, or a damaged one, is read or named in an error; columns stay of one length.
    #[test]
    fn any_file_is_read_or_refused(
        lines in proptest::collection::vec(lines(), 0..4), damage in damage(), noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard.jsonl");
        let bytes: Vec<u8> = lines.iter().flat_map(|line| written("a", "t", line)).collect();
        for bytes in [damage.done_to(&bytes), noise] {
            std::fs::write(&path, &bytes).unwrap();
            match read(&path, &["a".into()]) {
                Ok(columns) => {
                    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
                    let Columns {
                        image, patch_id, y, x, psnr, fusion, alpha, quality, reference_row, distorted_row, psnr_roi, identical,
                    } = columns;
                    let rows = [image.len(), patch_id.len(), y.len(), x.len(), reference_row.len(), distorted_row.len()];
                    prop_assert_eq!(rows, [lines; 6]);
                    prop_assert_eq!([psnr.len(), alpha.len(), quality.len(), psnr_roi.len()], [lines; 4]);
                    prop_assert_eq!([fusion.len(), identical.len()], [lines; 2]);
                    prop_assert!(psnr.iter().chain(&quality).all(|value| !value.is_nan()));
                    prop_assert!(quality.iter().all(|value| value.is_finite()));
                }
                Err(error) => prop_assert!(error.to_string().contains("shard.jsonl: line "), "{}", error),
            }
        }
    }
}

/// Bytes that are cut out at a place, and others that take theirs.
#[derive(Debug)]
struct Damage {
    at: proptest::sample::Index,
    cut: usize,
    instead: Vec<u8>,
}

impl Damage {
    fn done_to(&self, bytes: &[u8]) -> Vec<u8> {
        let at = self.at.index(bytes.len() + 1);
        let rest = &bytes[bytes.len().min(at + self.cut)..];
        [&bytes[..at], &self.instead, rest].concat()
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    // Characters of JSON, which get further than others, or any bytes.
    let json = proptest::collection::vec(proptest::sample::select(b"0123456789.-eE+,:\"\\{}nul \n\x01".to_vec()), 0..4);
    let bytes = prop_oneof![3 => json, 1 => proptest::collection::vec(any::<u8>(), 0..4)];
    (any::<proptest::sample::Index>(), 0..4usize, bytes).prop_map(|(at, cut, instead)| Damage { at, cut, instead })
}

#[test]
fn a_broken_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shard.jsonl");
    let line = Line {
        patch_id: 0,
        y: 0,
        x: 0,
        psnr: None,
        fusion: Fusion::COPY,
        quality: 1.0,
        reference_row: 0,
        distorted_row: 0,
        psnr_roi: None,
        identical: true,
    };
    let mut bytes = written("a", "t", &line);
    bytes.extend_from_slice(b"{\"image_id\":\"a\",\"patch_id\":Infinity}\n");
    std::fs::write(&path, &bytes).unwrap();
    let message = read(&path, &["a".into()]).unwrap_err().to_string();
    assert!(message.contains("shard.jsonl: line 2: not a record"), "{message}");
    let message = read(&path, &["b".into()]).unwrap_err().to_string();
    assert!(message.contains("line 1: image \"a\" is not in images.jsonl"), "{message}");
}
