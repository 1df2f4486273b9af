//! Sets `require_browser` where the tests that need a browser shall run.

fn main() {
    println!("cargo::rerun-if-env-changed=STRIA_REQUIRE_BROWSER");
    println!("cargo::rustc-check-cfg=cfg(require_browser)");
    if std::env::var_os("STRIA_REQUIRE_BROWSER").is_some() {
        println!("cargo::rustc-cfg=require_browser");
    }
}
