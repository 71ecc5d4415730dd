//! Definitions by name, in the order in which the names came up.

use std::collections::HashMap;

/// Items of one kind in order of definition, found by name.
#[derive(Debug, Clone)]
pub struct Items<T> {
    items: Vec<T>,
    by_name: HashMap<String, usize>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new(), by_name: HashMap::new() }
    }
}

impl<'i, T> IntoIterator for &'i Items<T> {
    type Item = &'i T;
    type IntoIter = std::slice::Iter<'i, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Items<T> {
    /// In order of definition.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    /// The item of a name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.by_name.get(name).and_then(|at| self.items.get_mut(*at))
    }

    /// Puts an item in: in the place of the one of that name, or behind all others.
    pub fn set(&mut self, name: &str, item: T) {
        if let Some(known) = self.get_mut(name) {
            *known = item;
        } else {
            self.by_name.insert(name.to_owned(), self.items.len());
            self.items.push(item);
        }
    }
}
