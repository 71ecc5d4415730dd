//! A container image made from the machine's static busybox: a docker-archive with one layer, written in memory.

use std::path::Path;

use sha2::{Digest, Sha256};

/// Name and tag of the image.
pub const NAME: &str = "docker.io/library/falconet-test:1.0";

/// Commands that the image has in `/bin`, all of them busybox.
const APPLETS: [&str; 16] = [
    "sh", "cat", "cp", "echo", "env", "id", "kill", "ln", "ls", "mkdir", "mv", "ps", "rm", "sleep", "touch",
    "wget",
];
const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n";
const SHADOW: &[u8] = b"root:*:19000:0:99999:7:::\n";

/// The archive, as `ctr images import` takes it.
pub fn archive(busybox: &Path) -> Vec<u8> {
    let layer = layer(&std::fs::read(busybox).expect("busybox can be read"));
    let digest = Sha256::digest(&layer).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["/bin/sh"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let layer_name = format!("{digest}/layer.tar");
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": [NAME], "Layers": [layer_name] }
    ]);
    let mut tar = Tar::default();
    tar.file(&layer_name, 0o644, &layer);
    tar.file("config.json", 0o644, config.to_string().as_bytes());
    tar.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    tar.finish()
}

fn layer(busybox: &[u8]) -> Vec<u8> {
    let mut tar = Tar::default();
    for folder in ["bin/", "etc/", "dev/", "proc/", "sys/", "root/", "home/", "home/app/", "var/"] {
        tar.entry(folder, b'5', 0o755, "", &[]);
    }
    tar.entry("tmp/", b'5', 0o1777, "", &[]);
    tar.file("bin/busybox", 0o755, busybox);
    for applet in APPLETS {
        tar.entry(&format!("bin/{applet}"), b'2', 0o777, "busybox", &[]);
    }
    tar.file("etc/passwd", 0o644, PASSWD);
    tar.file("etc/shadow", 0o600, SHADOW);
    tar.finish()
}

/// A POSIX ustar archive. Names are short and everything belongs to root.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    const BLOCK: usize = 512;

    fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        self.entry(name, b'0', mode, "", bytes);
    }

    fn entry(&mut self, name: &str, kind: u8, mode: u32, link: &str, bytes: &[u8]) {
        let mut header = [0u8; Self::BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        assert!(name.len() <= 100 && link.len() <= 100, "ustar names have 100 bytes");
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", bytes.len()).as_bytes());
        put(136, b"00000000000\0");
        // The checksum counts its own field as spaces.
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(Self::BLOCK), 0);
    }

    /// Two empty blocks end an archive.
    fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * Self::BLOCK, 0);
        self.0
    }
}
