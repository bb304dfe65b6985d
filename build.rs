//! Tells the linker what to put at the end of the program: what a bridge at rest does not run, so that the kernel, which
//! maps 64 KiB around whatever is run, leaves it on the disk. `bench/layout/run` finds out what that is.
#![expect(clippy::disallowed_methods, reason = "Cargo tells a build script by variables")]

const LAYOUT: &str = "bench/layout/unused.ld";

fn main() {
    println!("cargo:rerun-if-changed={LAYOUT}");
    let variable = |name| std::env::var(name).unwrap_or_default();
    // Only Rust's own linker for this target is known to take the list, and to be quick at it; another one links as ever.
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let is_own_linker = variable("TARGET") == "x86_64-unknown-linux-gnu"
        && variable("HOST") == variable("TARGET")
        && variable("RUSTC_LINKER").is_empty()
        && !["fuse-ld", "linker=", "linker-flavor", "linker-features", "link-self-contained"]
            .iter()
            .any(|flag| flags.contains(flag));
    if is_own_linker && variable("PROFILE") == "release" {
        println!("cargo:rustc-link-arg-bin=linkit-bridge=-Wl,-T,{}/{LAYOUT}", variable("CARGO_MANIFEST_DIR"));
    }
}
