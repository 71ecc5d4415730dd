//! Arrows between modules point one way. Reads the imports and paths of every source file and fails on a circle between the
//! parts of one module, and on an arrow back in the modules whose parts stand in a given order.
//!
//! The parts of a module are its submodules and the file of the module itself. A name that a module passes on (`pub use`) leads
//! to where it is defined. What only tests use does not count. Paths in macro calls are read from their tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::visit::{self, Visit};

use crate::workspace;

/// The crates: folder of the sources, name by which other crates know it.
const CRATES: [(&str, &str); 3] =
    [("sensor/src", "falconet"), ("sensor-ebpf/src", "sensor_ebpf"), ("xtask/src", "xtask")];
/// Modules that declare their parts in the order in which these may use each other: each those before it.
const ORDERED: [&str; 4] = ["falconet", "falconet::outputs", "falconet::rules", "sensor_ebpf::kernel"];

/// Checks all crates.
pub fn check() -> Result<()> {
    let mut findings = String::new();
    let mut arrows = 0;
    for (folder, name) in CRATES {
        let mut sources = BTreeMap::new();
        read(&workspace::root().join(folder), &[name.to_owned()], &mut sources)?;
        let tree = Crate::of(name, &sources)?;
        arrows += tree.arrows().values().map(BTreeMap::len).sum::<usize>();
        for finding in tree.findings() {
            writeln!(findings, "{finding}")?;
        }
    }
    if !findings.is_empty() {
        bail!("arrows between modules:\n{findings}");
    }
    eprintln!("    {arrows} arrows");
    Ok(())
}

/// Where a module is: the name of the crate, then the names of the modules.
type Place = Vec<String>;

/// The sources below a folder, by module. A binary's `main.rs` beside a `lib.rs` is no module.
fn read(folder: &Path, place: &[String], into: &mut BTreeMap<Place, String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut inner = place.to_vec();
        if path.is_dir() {
            inner.push(stem);
            read(&path, &inner, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let is_root = ["lib", "main", "mod"].contains(&stem.as_str());
            if stem == "main" && folder.join("lib.rs").is_file() {
                continue;
            }
            if !is_root {
                inner.push(stem);
            }
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            into.insert(inner, text);
        }
    }
    Ok(())
}

/// A path in a source, as far as it names modules and items.
struct Reference {
    path: Vec<String>,
    /// It only passes a name on.
    passes_on: bool,
}

/// A module.
#[derive(Default)]
struct Module {
    /// Submodules that are not for tests, in the order in which they are declared.
    parts: Vec<String>,
    /// Submodules for tests.
    tests: BTreeSet<String>,
    references: Vec<Reference>,
    /// What names lead to that were imported here.
    names: BTreeMap<String, Vec<String>>,
    /// Modules all of whose names are imported here.
    globs: Vec<Vec<String>>,
}

struct Crate {
    name: String,
    modules: BTreeMap<Place, Module>,
}

/// By module: the arrows between its parts, each with an example. The file of the module itself is the part `self`.
type Arrows<'a> = BTreeMap<&'a [String], BTreeMap<(&'a str, &'a str), String>>;

impl Crate {
    fn of(name: &str, sources: &BTreeMap<Place, String>) -> Result<Self> {
        let mut modules = BTreeMap::new();
        for (place, text) in sources {
            let file = syn::parse_file(text).with_context(|| format!("cannot parse {}", place.join("::")))?;
            let mut reader = Reader { place: place.clone(), module: Module::default() };
            reader.visit_file(&file);
            modules.insert(place.clone(), reader.module);
        }
        Ok(Self { name: name.to_owned(), modules })
    }

    /// True for a module that exists only for tests.
    fn is_test(&self, place: &[String]) -> bool {
        (1..place.len()).any(|length| {
            self.modules.get(&place[..length]).is_some_and(|module| module.tests.contains(&place[length]))
        })
    }

    /// The module in which a path ends, names that are passed on followed. `None`: not in this crate.
    fn defined(&self, path: &[String], steps: usize) -> Option<Place> {
        if path.first() != Some(&self.name) || steps == 0 {
            return None;
        }
        let mut at = path[..1].to_vec();
        for (n, name) in path.iter().enumerate().skip(1) {
            let mut inner = at.clone();
            inner.push(name.clone());
            if self.modules.contains_key(&inner) {
                at = inner;
                continue;
            }
            let module = self.modules.get(&at)?;
            let rest = &path[n + 1..];
            if let Some(target) = module.names.get(name) {
                let target: Vec<String> = target.iter().chain(rest).cloned().collect();
                return self.defined(&target, steps - 1).or(Some(at));
            }
            for glob in &module.globs {
                let target: Vec<String> = glob.iter().chain(&path[n..]).cloned().collect();
                match self.defined(&target, steps - 1) {
                    Some(place) if place.len() > glob.len() || self.has(&place, name) => return Some(place),
                    _ => {}
                }
            }
            return Some(at);
        }
        Some(at)
    }

    /// True when a module itself passes a name on.
    fn has(&self, place: &[String], name: &str) -> bool {
        self.modules.get(place).is_some_and(|module| module.names.contains_key(name))
    }

    fn arrows(&self) -> Arrows<'_> {
        let mut arrows = Arrows::new();
        for (from, module) in self.modules.iter().filter(|(place, _)| !self.is_test(place)) {
            for reference in module.references.iter().filter(|reference| !reference.passes_on) {
                let Some(to) = self.defined(&reference.path, 8) else { continue };
                let Some((to, _)) = self.modules.get_key_value(&to) else { continue };
                if self.is_test(to) {
                    continue;
                }
                let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
                let a = from.get(common).map_or("self", String::as_str);
                let b = to.get(common).map_or("self", String::as_str);
                if a != b {
                    let example = format!("{} uses {}", from.join("::"), reference.path.join("::"));
                    arrows.entry(&from[..common]).or_default().entry((a, b)).or_insert(example);
                }
            }
        }
        arrows
    }

    fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (place, arrows) in &self.arrows() {
            let name = place.join("::");
            for circle in circles(&arrows.keys().copied()) {
                let mut finding = format!("{name}: a circle of {}:", circle.join(", "));
                for ((from, to), example) in arrows {
                    if circle.contains(from) && circle.contains(to) {
                        let _ = write!(finding, "\n    {from} -> {to}: {example}");
                    }
                }
                findings.push(finding);
            }
            if let Some(module) = self.modules.get(*place).filter(|_| ORDERED.contains(&name.as_str())) {
                let rank = |part: &str| module.parts.iter().position(|known| known == part);
                for ((from, to), example) in arrows {
                    if let (Some(a), Some(b)) = (rank(from), rank(to))
                        && a < b
                    {
                        findings.push(format!("{name}: an arrow back, {from} -> {to}: {example}"));
                    }
                }
            }
        }
        findings
    }
}

/// Groups of parts that reach each other.
fn circles<'a>(arrows: &(impl Iterator<Item = (&'a str, &'a str)> + Clone)) -> Vec<Vec<&'a str>> {
    let parts: BTreeSet<&str> = arrows.clone().flat_map(|(from, to)| [from, to]).collect();
    let reached = |start: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(at) = open.pop() {
            for (_, to) in arrows.clone().filter(|(from, _)| *from == at) {
                if seen.insert(to) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let from: BTreeMap<&str, BTreeSet<&str>> = parts.iter().map(|part| (*part, reached(part))).collect();
    let mut circles: Vec<Vec<&str>> = Vec::new();
    for part in &parts {
        let both = |other: &&&str| from[part].contains(**other) && from[**other].contains(part);
        let circle: Vec<&str> = parts.iter().filter(both).copied().collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// Collects what one file refers to.
struct Reader {
    /// Of the file, inline modules included.
    place: Place,
    module: Module,
}

impl Reader {
    /// The path from the root of its crate; `None` for one that begins with anything but `crate`, `super` or `self`.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut at = match path.first()?.as_str() {
            "crate" => self.place[..1].to_vec(),
            "self" | "super" => self.place.clone(),
            _ => return None,
        };
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "super" => {
                    at.pop();
                }
                "crate" | "self" => {}
                _ => break,
            }
            rest = others;
        }
        at.extend(rest.iter().cloned());
        Some(at)
    }

    fn refer(&mut self, path: &[String]) {
        if let Some(path) = self.absolute(path) {
            self.module.references.push(Reference { path, passes_on: false });
        }
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String], passes_on: bool) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => {
                self.import(&path.tree, &with(path.ident.to_string()), passes_on);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, passes_on);
                }
            }
            syn::UseTree::Glob(_) => {
                if let Some(path) = self.path_of_import(before) {
                    self.module.references.push(Reference { path: path.clone(), passes_on });
                    self.module.globs.push(path);
                }
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.name(before.last().cloned().unwrap_or_default(), before, passes_on);
            }
            syn::UseTree::Name(name) => {
                self.name(name.ident.to_string(), &with(name.ident.to_string()), passes_on);
            }
            syn::UseTree::Rename(rename) => {
                self.name(rename.rename.to_string(), &with(rename.ident.to_string()), passes_on);
            }
        }
    }

    /// An import may begin with a submodule.
    fn path_of_import(&self, path: &[String]) -> Option<Vec<String>> {
        self.absolute(path).or_else(|| {
            let first = path.first()?;
            let is_part = self.module.parts.contains(first) || self.module.tests.contains(first);
            is_part.then(|| self.place.iter().chain(path).cloned().collect())
        })
    }

    fn name(&mut self, name: String, path: &[String], passes_on: bool) {
        if let Some(path) = self.path_of_import(path) {
            self.module.references.push(Reference { path: path.clone(), passes_on });
            self.module.names.insert(name, path);
        }
    }
}

/// True for what is compiled for tests only.
fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| {
                    let condition = list.tokens.to_string();
                    condition == "test"
                        || condition == "feature = \"testing\""
                        || condition.starts_with("any (test")
                        || condition.starts_with("all (test")
                })
    })
}

impl<'ast> Visit<'ast> for Reader {
    /// `pub(super)` says who may look in, not what is used.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_file(&mut self, file: &'ast syn::File) {
        // Imports may stand before the modules that they begin with.
        for item in &file.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
            {
                let name = module.ident.to_string();
                if for_tests(&module.attrs) {
                    self.module.tests.insert(name);
                } else {
                    self.module.parts.push(name);
                }
            }
        }
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.place.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.place.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let passes_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &[], passes_on);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let path_names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        match path_names.first() {
            // `child::item` in the file of the module itself.
            Some(first) if path_names.len() > 1 && self.module.parts.contains(first) => {
                let path = self.place.iter().chain(&path_names).cloned().collect();
                self.module.references.push(Reference { path, passes_on: false });
            }
            _ => self.refer(&path_names),
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        for path in paths(call.tokens.clone()) {
            self.refer(&path);
        }
    }
}

/// Paths in tokens that begin with `crate`, `super` or `self`.
fn paths(tokens: proc_macro2::TokenStream) -> Vec<Vec<String>> {
    use proc_macro2::TokenTree;

    let (mut found, mut open): (Vec<Vec<String>>, Vec<String>) = (Vec::new(), Vec::new());
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    found.push(std::mem::take(&mut open));
                }
                open.push(name.to_string());
                colons = 0;
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                colons = 0;
                found.push(std::mem::take(&mut open));
                found.extend(paths(group.stream()));
            }
            _ => {
                colons = 0;
                found.push(std::mem::take(&mut open));
            }
        }
    }
    found.push(open);
    found.retain(|path| path.len() > 1 && ["crate", "super", "self"].contains(&path[0].as_str()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(sources: &[(&str, &str)]) -> Vec<String> {
        let place = |name: &str| name.split("::").map(str::to_owned).collect();
        let sources = sources.iter().map(|(name, text)| (place(name), (*text).to_owned())).collect();
        Crate::of("falconet", &sources).unwrap().findings()
    }

    #[test]
    fn a_circle_is_found_whichever_way_it_is_written() {
        let root = ("falconet", "mod x;");
        let x = ("falconet::x", "mod a; mod b; pub use b::B;");
        let b = ("falconet::x::b", "pub struct B; fn b() { vec![super::a::A] }");
        assert_eq!(findings(&[root, x, ("falconet::x::a", "pub struct A;"), b]), Vec::<String>::new());
        for a in ["use super::b::B;", "use super::B;", "use crate::x::{B};", "fn a() { super::b::B }"] {
            let found = findings(&[root, x, ("falconet::x::a", a), b]);
            assert!(found.len() == 1 && found[0].contains("x: a circle of a, b:"), "{a}: {found:?}");
        }
    }

    #[test]
    fn who_may_look_in_is_not_who_is_used() {
        let x = ("falconet::x", "mod a; use a::A;");
        let a = ("falconet::x::a", "pub(super) struct A; pub(in crate::x) fn a() {}");
        assert_eq!(findings(&[("falconet", "mod x;"), x, a]), Vec::<String>::new());
    }

    #[test]
    fn a_part_and_the_file_of_its_module_can_be_a_circle() {
        let root = ("falconet", "mod x;");
        let a = ("falconet::x::a", "use super::X; pub fn a() {}");
        let user = "mod a; pub struct X; fn x() { a::a() }";
        assert!(findings(&[root, ("falconet::x", user), a])[0].contains("a circle of a, self"));
        let passing = "mod a; pub struct X; pub use a::a;";
        assert_eq!(findings(&[root, ("falconet::x", passing), a]), Vec::<String>::new());
    }

    #[test]
    fn tests_may_use_what_they_like() {
        let a = "#[cfg(test)] mod tests { use super::super::b::B; } #[cfg(test)] use super::b::C;";
        let b = "use super::a::A; pub struct B;";
        assert_eq!(
            findings(&[("falconet", "mod a; mod b;"), ("falconet::b", b), ("falconet::a", a)]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_order_of_declaration_counts_where_it_is_said_to() {
        let sources = |a, b| [("falconet", "mod a; mod b;"), ("falconet::a", a), ("falconet::b", b)];
        assert_eq!(findings(&sources("", "use crate::a::A;")), Vec::<String>::new());
        let back = findings(&sources("use crate::b::{self, B};", ""));
        assert!(back.len() == 1 && back[0].contains("an arrow back, a -> b"), "{back:?}");
    }
}
