//! iLBC beside two others: FFmpeg's decoder, and libilbc (WebRTC's, in fixed point).
//!
//! No archive has libilbc as a package of its own: its sources come in the npm package `@babblevoice/projectrtp`, are looked
//! for in `DENWA_NODE_MODULES`, and are compiled here.

use super::*;
use denwa_codecs::Decoder as _;
use denwa_codecs::ilbc::{Decoder, Encoder, Mode};

const MODES: [(Mode, &str); 2] = [(Mode::Ms20, "20"), (Mode::Ms30, "30")];

fn speech(mode: Mode) -> Option<Vec<i16>> {
    let mut speech = shared::samples(&shared::folder("codec-vectors/ilbc")?.join("iLBC.INP"));
    speech.truncate(speech.len() / mode.frame_samples() * mode.frame_samples());
    Some(speech)
}

fn libilbc() -> Option<PathBuf> {
    let modules = env::var_os("DENWA_NODE_MODULES").map(PathBuf::from);
    let Some(library) = modules.map(|modules| modules.join("@babblevoice/projectrtp/libilbc")) else {
        shared::absent("libilbc (DENWA_NODE_MODULES with @babblevoice/projectrtp)");
        return None;
    };
    if !library.exists() {
        shared::absent(&library.display().to_string());
        return None;
    }
    // What its own build would make: the names that its functions are given for the outside.
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libilbc");
    fs::create_dir_all(&generated).unwrap();
    fs::write(generated.join("ilbc_export.h"), "#define ILBC_EXPORT\n#define ILBC_DEPRECATED\n").unwrap();
    let mut arguments: Vec<OsString> = vec!["-DNDEBUG".into()];
    for folder in [&generated, &library, &library.join("abseil-cpp")] {
        arguments.push(format!("-I{}", folder.display()).into());
    }
    for folder in [
        "modules/audio_coding/codecs/ilbc",
        "common_audio/signal_processing",
        "common_audio/third_party/spl_sqrt_floor",
    ] {
        for entry in fs::read_dir(library.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let other_machine = name.contains("mips") || name.contains("neon");
            if (name.ends_with(".c") && !other_machine) || name == "dot_product_with_scale.cc" {
                arguments.push(file.into());
            }
        }
    }
    build_with("ilbc", &arguments)
}

#[test]
fn libilbc_hears_what_we_say_and_says_what_we_hear() {
    let Some(peer) = libilbc() else { return };
    for (mode, name) in MODES {
        let Some(speech) = speech(mode) else { return };
        let decoded = |payload: &[u8]| decode_all(&mut Decoder::new(mode), payload, mode.frame_bytes());
        // Our bits, decoded by both; and theirs.
        let bits = encode_all(&mut Encoder::new(mode), &speech, mode.frame_samples());
        let there = segmental_db(&decoded(&bits), &words(&run(&peer, &["decode", name], &bits)));
        let bits = run(&peer, &["encode", name], &bytes(&speech));
        assert_eq!(bits.len(), speech.len() / mode.frame_samples() * mode.frame_bytes());
        let back = segmental_db(&decoded(&bits), &words(&run(&peer, &["decode", name], &bits)));
        println!("libilbc, {name} ms: our bits {there:.1} dB alike, theirs {back:.1} dB");
        assert!(there > 20.0 && back > 20.0, "{name} ms: {there:.1} dB, {back:.1} dB");

        // One frame in ten is lost: both conceal it, and both are back soon.
        let size = mode.frame_bytes();
        let lost = |index: usize| index % 10 == 7;
        let mut marked = bits.clone();
        for (index, frame) in marked.chunks_mut(size).enumerate() {
            if lost(index) {
                frame.fill(0xff);
            }
        }
        let theirs = words(&run(&peer, &["decode", name], &marked));
        let mut decoder = Decoder::new(mode);
        let mut ours = vec![0; theirs.len()];
        for (index, (frame, out)) in bits.chunks(size).zip(ours.chunks_mut(mode.frame_samples())).enumerate()
        {
            let count = if lost(index) { decoder.conceal(out) } else { decoder.decode(frame, out).unwrap() };
            assert_eq!(count, mode.frame_samples());
        }
        let lossy = segmental_db(&ours, &theirs);
        println!("libilbc, {name} ms, a tenth lost: {lossy:.1} dB alike");
        assert!(lossy > 10.0, "{name} ms: {lossy:.1} dB");
    }
}

#[test]
fn ffmpeg_decodes_what_we_decode() {
    for (mode, name) in MODES {
        let Some(speech) = speech(mode) else { return };
        let size = mode.frame_samples();
        let payload = encode_all(&mut Encoder::new(mode), &speech, size);
        let ours = decode_all(&mut Decoder::new(mode), &payload, mode.frame_bytes());
        let file = [format!("#!iLBC{name}\n").as_bytes(), &payload].concat();
        let Some(theirs) = ffmpeg(&format!("ilbc-{size}"), &["-f", "ilbc"], &["-f", "s16le"], &file) else {
            return;
        };
        // Theirs is in fixed point and has other rounding everywhere, and another idea of when it begins.
        let theirs = words(&theirs);
        let best = (0..=size)
            .map(|late| {
                segmental_db(&ours[late..], &theirs)
                    .max(segmental_db(&ours, &theirs[late.min(theirs.len())..]))
            })
            .fold(f64::MIN, f64::max);
        println!("iLBC {size}: {best:.1} dB");
        assert!(best > 12.0, "{size}: {best:.1} dB");
    }
}
