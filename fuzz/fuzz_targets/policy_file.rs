//! See `waypost_fuzz_bodies`: what is held to which promise is written there, and runs on stable too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(target) = waypost_fuzz_bodies::target("policy_file") {
        (target.run)(data);
    }
});
