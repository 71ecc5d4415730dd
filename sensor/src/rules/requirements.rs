//! What a rules file requires of the engine that loads it.

use super::diagnostic::{Code, Complaint};
use super::options::{self, Options};
use super::reader::File;
use super::yaml::{Node, Yaml};

/// Checks `required_engine_version`.
pub fn engine_version(file: File<'_>, item: &Node, options: &Options) -> Result<(), Complaint> {
    let node = file.required(item, "required_engine_version")?;
    let text = file.scalar(node)?;
    let asked = match text.parse::<u64>() {
        Ok(minor) => Some((0, minor, 0)),
        Err(_) => options::version(text),
    };
    let Some(asked) = asked else {
        let message = format!(
            "Unable to parse engine version '{text}' as a semver string. Expected \"x.y.z\" semver format."
        );
        return Err(file.invalid(node, message));
    };
    if options::compatible(options.engine_version, asked) {
        return Ok(());
    }
    let message = format!(
        "Rules require engine version {}, but engine version is {}",
        dotted(asked),
        dotted(options.engine_version)
    );
    Err(Complaint::new(Code::Validate, file.origin(node), message).spanning(text.len()))
}

fn dotted((major, minor, patch): (u64, u64, u64)) -> String {
    format!("{major}.{minor}.{patch}")
}

/// Checks `required_plugin_versions`: of each entry, the plugin or one of its alternatives must be there.
pub fn plugin_versions(file: File<'_>, entries: &Node, options: &Options) -> Result<(), Complaint> {
    let Yaml::Seq(entries) = &entries.yaml else {
        return Err(file.invalid(entries, "Value of required_plugin_versions must be a sequence"));
    };
    for entry in entries {
        let mut wanted = vec![plugin_version(file, entry)?];
        if let Some(alternatives) = entry.get("alternatives").filter(|node| !node.is_null()) {
            let Yaml::Seq(alternatives) = &alternatives.yaml else {
                return Err(
                    file.invalid(alternatives, "Value of plugin version alternatives must be a sequence")
                );
            };
            for alternative in alternatives {
                let next = plugin_version(file, alternative)?;
                if wanted.iter().any(|(name, _)| *name == next.0) {
                    let message = format!("Plugin '{}' is required more than once in one entry", next.0);
                    return Err(Complaint::new(Code::Validate, file.origin(alternative), message));
                }
                wanted.push(next);
            }
        }
        let met = wanted.iter().any(|(name, asked)| {
            options
                .plugins
                .iter()
                .any(|(have, version)| have == name && options::compatible(*version, *asked))
        });
        if !met {
            let list: Vec<String> =
                wanted.iter().map(|(name, asked)| format!("{name} (>= {})", dotted(*asked))).collect();
            let message = format!("Plugin requirement not satisfied, must load one of: {}", list.join(", "));
            return Err(Complaint::new(Code::Validate, file.origin(entry), message));
        }
    }
    Ok(())
}

fn plugin_version<'n>(file: File<'_>, entry: &'n Node) -> Result<(&'n str, (u64, u64, u64)), Complaint> {
    let name = file.required_scalar(entry, "name")?;
    let node = file.required(entry, "version")?;
    let text = file.scalar(node)?;
    let version = options::version(text).ok_or_else(|| {
        let message = format!("Invalid required version '{text}' for plugin '{name}'");
        Complaint::new(Code::Validate, file.origin(node), message)
    })?;
    Ok((name, version))
}
