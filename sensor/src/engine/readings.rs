//! The readings of an event: each is the event again, with another choice of names ([`crate::rules::registry::readings`]).

use std::sync::Arc;

use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::events::{FdView, UnixName};
use serde_json::{Map, Value as Json};

use super::live::Live;
use super::{fd, path};
use crate::rules::output::json;
use crate::rules::registry::spellings;
use crate::rules::{Field, FieldRef, Kind, Reading, RuleSet};
use crate::state::{MAX_ANCESTORS, Process};

/// What comes before the field in the key of a name that the event has beside the one that fired.
const OTHER: &str = "falconet.other.";

impl<'a> Live<'a> {
    /// The event in all its readings, this one first, where names differ that a condition of these rules asks about; else `None`.
    pub fn readings(&self, rules: &RuleSet) -> Option<BumpVec<'a, Self>> {
        let turns = rules.turns(self.ty);
        let differ = if turns.is_empty() { turns } else { self.differing().and(turns) };
        if differ.is_empty() {
            return None;
        }
        let mut all = BumpVec::new_in(self.bump);
        all.push(*self);
        all.extend(differ.choices().map(|kinds| self.turned(kinds)));
        Some(all)
    }

    /// The event with the other names of these kinds.
    fn turned(&self, kinds: Reading) -> Self {
        Self { reading: self.reading.turned(kinds), ..*self }
    }

    /// The kinds of things that have two names.
    fn differing(&self) -> Reading {
        let differs = |kind: &Kind| match kind {
            Kind::Path => self.fd().is_some_and(|view| paths_differ(self, &view)),
            Kind::Lineage => lineages_differ(self),
            Kind::Socket => self.fd().is_some_and(|view| sockets_differ(self, &view)),
        };
        Kind::ALL.iter().copied().filter(differs).fold(Reading::FIRST, Reading::with)
    }

    /// Adds the names that the event has beside those of this reading.
    pub fn tell_other_names(&self, fields: &mut Map<String, Json>) {
        let differ = self.differing();
        for kind in Kind::ALL.into_iter().filter(|kind| differ.has(*kind)) {
            let field = match kind {
                Kind::Path | Kind::Socket => Field::FdName,
                Kind::Lineage => Field::ProcAname,
            };
            let other = self.turned(Reading::FIRST.with(kind));
            fields.insert(format!("{OTHER}{}", field.name()), json(&other, &FieldRef::from(field)));
        }
    }
}

/// The path that the call asked for, made absolute; `None` when it asked for none, or it is not known where that starts.
pub fn asked<'a>(event: &Live<'a>, view: &FdView<'a>) -> Option<&'a [u8]> {
    let known = view.raw.starts_with(b"/") || !view.base.is_empty();
    (known && !view.raw.is_empty()).then(|| path::join(event.bump, view.base, view.raw))
}

/// A unix socket's path alone, or its abstract name: the file's, if there is one, or with the second name of paths what was passed
/// to bind.
pub fn socket<'a>(event: &Live<'a>, view: &FdView<'a>) -> Option<&'a [u8]> {
    let UnixName { name, file } = unix_name(view)?;
    if !file.is_empty() && !event.reading.has(Kind::Path) {
        return Some(file);
    }
    let mut out = BumpVec::new_in(event.bump);
    fd::write_unix_name(&mut out, name);
    Some(out.into_bump_slice())
}

/// Of a unix socket's two names the one that `fd.name` ends in: of a client its peer's.
fn unix_name<'a>(view: &FdView<'a>) -> Option<UnixName<'a>> {
    view.fd.filter(|fd| fd.kind == b'u')?;
    let name = if view.path == view.peer.name { view.peer } else { view.own };
    (!name.name.is_empty()).then_some(name)
}

/// The name of a unix socket alone is another than that with the ends, or there are two of it.
fn sockets_differ(event: &Live<'_>, view: &FdView<'_>) -> bool {
    let (Some(fd), Some(alone)) = (view.fd, socket(event, view)) else { return false };
    paths_differ(event, view) || fd::name(event.bump, fd, view.path, event.role()) != alone
}

/// The call asked for its file by another path than the kernel's, or a unix socket was bound by another one.
fn paths_differ(event: &Live<'_>, view: &FdView<'_>) -> bool {
    if let Some(UnixName { name, file }) = unix_name(view) {
        return !file.is_empty() && !spellings::same(file, name);
    }
    let Some(fd) = view.fd else { return false };
    let (raw, resolved) = (view.raw, view.path);
    if raw.is_empty() || raw == resolved || is_joined(resolved, view.base, raw) {
        return false;
    }
    let resolved = fd::name(event.bump, fd, resolved, event.role());
    asked(event, view).is_some_and(|asked| !spellings::same(resolved, asked))
}

/// The process or an ancestor was forked by another process than its parent. (Up to the first such, both lineages are the same.)
fn lineages_differ(event: &Live<'_>) -> bool {
    let processes = event.known.processes;
    let parent = |process: &Arc<Process>| processes.parent(process, event.boot);
    let mut process = event.process();
    for _ in 0..=MAX_ANCESTORS {
        let Some(child) = process else { return false };
        process = parent(child);
        let forker = processes.forker(child);
        if forker.is_some_and(|forker| process.is_none_or(|parent| parent.exec_id != forker.exec_id)) {
            return true;
        }
    }
    false
}

/// `path` is `raw` behind `base`, as it stands.
fn is_joined(path: &[u8], base: &[u8], raw: &[u8]) -> bool {
    let start = path.strip_suffix(raw).and_then(|start| start.strip_suffix(b"/"));
    !base.is_empty() && start == Some(base.strip_suffix(b"/").unwrap_or(base))
}
