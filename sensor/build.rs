//! Embeds what other tools made: the BPF object of `cargo xtask build-ebpf` and the web app of `cargo xtask build-ui`.
//! Neither is needed to build; what is missing is told when it is wanted.
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    look_around(&root);
    embed_bpf(&root.join("../target/bpf/falconet.bpf.o"), &out)?;
    embed_ui(&root.join("ui"), &out)
}

/// Tells unit tests what is here, so that those that need something else are ignored, with the reason. Looked at once: what is
/// installed later is seen with the next change of this crate's inputs, and what has gone since makes them fail.
fn look_around(root: &Path) {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    // CAP_SYS_ADMIN: user id 0 is not enough in a container.
    let admin = capabilities >> 21 & 1 == 1;
    let runtime = admin && ["runc", "tar"].into_iter().all(found) && Path::new("/bin/busybox").is_file();
    for (name, here) in [
        ("has_admin", admin),
        ("has_btf", Path::new("/sys/kernel/btf/vmlinux").is_file()),
        (
            "has_containerd",
            runtime && ["containerd", "containerd-shim-runc-v2", "ctr"].into_iter().all(found),
        ),
        ("has_podman", runtime && ["podman", "conmon"].into_iter().all(found)),
        // Falco's tables and rule files, beside the workspace or above it.
        ("has_shared", root.ancestors().any(|folder| folder.join("shared/spec").is_dir())),
    ] {
        println!("cargo:rustc-check-cfg=cfg({name})");
        if here {
            println!("cargo:rustc-cfg={name}");
        }
    }
    println!("cargo:rerun-if-env-changed=USER");
}

fn embed_bpf(object: &Path, out: &Path) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", object.display());
    println!("cargo:rustc-check-cfg=cfg(has_bpf)");
    let bytes = fs::read(object).unwrap_or_default();
    if bytes.is_empty() {
        println!("cargo:warning=built without the eBPF programs; run `cargo xtask build-ebpf` first");
    } else {
        println!("cargo:rustc-cfg=has_bpf");
    }
    fs::write(out.join("falconet.bpf.o"), bytes)
}

/// Writes the table `ASSETS` that `src/ui/assets.rs` includes: every file of `dist` that has a `.gz` beside it.
fn embed_ui(ui: &Path, out: &Path) -> io::Result<()> {
    let dist = ui.join("dist");
    // A watched path that does not exist would rebuild the crate every time; its parent tells when it comes to be.
    let watched = if dist.is_dir() { &dist } else { ui };
    println!("cargo:rerun-if-changed={}", watched.display());
    let mut files = Vec::new();
    if dist.is_dir() {
        list(&dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from(
        "/// The files of the web app; empty when it was not built.\npub static ASSETS: &[Asset] = &[\n",
    );
    for file in &files {
        let gzip = beside(file, "gz");
        if !gzip.is_file() {
            continue;
        }
        let name = file.strip_prefix(&dist).unwrap_or(file).to_string_lossy();
        let brotli = beside(file, "br");
        let brotli = if brotli.is_file() { include(&brotli) } else { "b\"\"".into() };
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(file)?);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let kind = content_type(file);
        let _ = writeln!(
            table,
            "    Asset {{ path: {name:?}, content_type: {kind:?}, etag: {etag:?}, gzip: {}, brotli: {brotli} }},",
            include(&gzip)
        );
    }
    table.push_str("];\n");
    fs::write(out.join("ui_assets.rs"), table)
}

fn include(file: &Path) -> String {
    format!("include_bytes!({:?})", file.to_string_lossy())
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
