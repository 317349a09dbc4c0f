//! Hands libFuzzer's bytes to the body of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    denwa_fuzz_bodies::denwa::TARGETS.iter().filter(|(name, _)| *name == "denwa_user_agent").for_each(|(_, body)| body(data));
});
