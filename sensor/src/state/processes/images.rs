//! The memory of images: each counts once, however many processes run it, and as long as one does.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::state::process::Image;

/// How many entries of the table have an image, and its size.
struct Use {
    entries: usize,
    bytes: usize,
}

/// The images of a table, by address: as long as an entry has one, no other can have its place.
pub(super) struct Images {
    uses: HashMap<usize, Use>,
    bytes: usize,
}

impl Images {
    pub fn new() -> Self {
        Self { uses: HashMap::new(), bytes: 0 }
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An entry has the image from now on.
    pub fn add(&mut self, image: &Arc<Image>) {
        let used = self.uses.entry(Arc::as_ptr(image).addr()).or_insert_with(|| {
            let bytes = image.bytes();
            self.bytes += bytes;
            Use { entries: 0, bytes }
        });
        used.entries += 1;
    }

    /// An entry that had it is gone, or has another one; call it while the image is still there.
    pub fn remove(&mut self, image: &Arc<Image>) {
        let at = Arc::as_ptr(image).addr();
        let Some(used) = self.uses.get_mut(&at) else { return };
        used.entries -= 1;
        if used.entries == 0 {
            self.bytes -= used.bytes;
            self.uses.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_once_and_until_the_last_one_is_gone() {
        let image = |len: usize| Arc::new(Image { args: vec![0; len].into(), ..Image::unknown() });
        let (large, small) = (image(10_000), image(10));
        let mut images = Images::new();
        images.add(&large);
        let one = images.bytes();
        assert_eq!(one, large.bytes());
        images.add(&large.clone());
        assert_eq!(images.bytes(), one);
        images.add(&small);
        images.remove(&large);
        assert_eq!(images.bytes(), one + small.bytes());
        images.remove(&large);
        assert_eq!(images.bytes(), small.bytes());
        images.remove(&small);
        assert_eq!((images.bytes(), images.uses.len()), (0, 0));
    }
}
