//! All lists of a configuration: a file that is named twice is one list, and each has a number for operators.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::Span;

use super::list::{List, Source};

/// See the file's head. It is filled while a configuration is compiled.
#[derive(Default)]
pub struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lists: Vec<Arc<List>>,
    files: HashMap<String, Arc<List>>,
    numbered: bool,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Registry({} lists)", self.lock().lists.len())
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of a file, which is read when it is named first.
    pub fn file(&self, path: &str, is_map: bool) -> Result<Arc<List>, String> {
        let mut inner = self.lock();
        if let Some(list) = inner.files.get(path) {
            if list.is_map != is_map {
                let word = |is_map| if is_map { "two" } else { "one" };
                return Err(format!(
                    "the file \"{path}\" is already used as {} column file and cannot be used as {} column file",
                    word(list.is_map),
                    word(is_map)
                ));
            }
            return Ok(Arc::clone(list));
        }
        let list = Arc::new(List::new(Source::File(path.to_owned()), is_map));
        list.load(path)?;
        inner.files.insert(path.to_owned(), Arc::clone(&list));
        inner.lists.push(Arc::clone(&list));
        Ok(list)
    }

    /// A new list for the patterns of an ACL's line, with the number of `-u` if there is one.
    pub fn line(&self, criterion: &str, id: Option<u32>) -> Result<Arc<List>, String> {
        let mut inner = self.lock();
        let list = List::new(Source::Line(criterion.to_owned()), false);
        if let Some(id) = id {
            if inner.lists.iter().any(|other| other.id() == Some(id)) {
                return Err("the id is already used".to_owned());
            }
            list.set_id(id);
        }
        let list = Arc::new(list);
        inner.lists.push(Arc::clone(&list));
        Ok(list)
    }

    /// The list of a file, if an ACL or a map looks into it.
    pub fn find_file(&self, path: &str) -> Option<Arc<List>> {
        self.lock().files.get(path).cloned()
    }

    /// A list as operators name it: `#NUMBER`, or its file.
    pub fn find(&self, name: &str) -> Option<Arc<List>> {
        match name.strip_prefix('#') {
            None => self.find_file(name),
            Some(number) => {
                let number: u32 = number.parse().ok()?;
                self.lists()
                    .into_iter()
                    .find(|list| list.id() == Some(number))
            }
        }
    }

    /// All lists by their numbers. The first call gives numbers to those without: from 0, in order of the configuration.
    pub fn lists(&self) -> Vec<Arc<List>> {
        let mut inner = self.lock();
        if !inner.numbered {
            inner.numbered = true;
            inner.number();
        }
        inner.lists.clone()
    }
}

impl Inner {
    fn number(&mut self) {
        for list in &self.lists {
            list.sort_uses();
        }
        let place = |list: &Arc<List>| {
            let Span { file, line, .. } = list.first_use().unwrap_or_default();
            (file.0, line)
        };
        self.lists.sort_by_key(place);
        let taken: Vec<u32> = self.lists.iter().filter_map(|list| list.id()).collect();
        let mut free = (0..).filter(|id| !taken.contains(id));
        for list in self.lists.iter().filter(|list| list.id().is_none()) {
            if let Some(id) = free.next() {
                list.set_id(id);
            }
        }
        self.lists.sort_by_key(|list| list.id());
    }
}
