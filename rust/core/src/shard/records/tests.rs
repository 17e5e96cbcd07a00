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
