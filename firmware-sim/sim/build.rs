//! Sets `require_firmware` where the tests that need QEMU and the firmware's toolchain shall run.

fn main() {
    println!("cargo::rerun-if-env-changed=STRIA_REQUIRE_FIRMWARE");
    println!("cargo::rustc-check-cfg=cfg(require_firmware)");
    if std::env::var_os("STRIA_REQUIRE_FIRMWARE").is_some() {
        println!("cargo::rustc-cfg=require_firmware");
    }
}
