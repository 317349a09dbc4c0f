//! Hands libFuzzer's bytes to the body of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    denwa_fuzz_bodies::sip_models::TARGETS.iter().filter(|(name, _)| *name == "sip_sessions").for_each(|(_, body)| body(data));
});
