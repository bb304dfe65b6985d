//! Markdown as the documents use it: their files, fenced blocks, headings and links.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::root;

/// A document of the repository.
pub struct Document {
    /// Its path from the root.
    pub name: String,
    pub text: String,
}

/// A fenced block of a document, without the indentation of its fence.
pub struct Block {
    pub language: String,
    pub text: String,
}

/// Every document of the repository that is its own.
pub fn documents() -> Vec<Document> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || name.starts_with('.') || ["target", "node_modules"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push(Document { name, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

impl Document {
    pub fn blocks(&self) -> Vec<Block> {
        self.parts().1
    }

    /// The targets of its links, which stand outside of code.
    pub fn links(&self) -> Vec<String> {
        let (prose, _) = self.parts();
        // Of a text in backticks every second part is code.
        let plain: Vec<_> = prose.split('`').step_by(2).collect();
        let joined = plain.join("`");
        joined.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
    }

    /// What stands in backticks outside of blocks.
    pub fn code(&self) -> Vec<String> {
        let (prose, _) = self.parts();
        prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        let (prose, _) = self.parts();
        let titles = prose.lines().filter_map(|line| {
            let title = line.trim_start_matches('#');
            (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
        });
        let anchor = |title: &str| {
            let kept = title.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let before = seen.entry(anchor.clone()).or_default();
            *before += 1;
            if *before == 1 { anchor } else { format!("{anchor}-{}", *before - 1) }
        };
        titles.map(anchor).collect()
    }

    /// The file that a link leads to, and the anchor in it; `None` for what is on other hosts.
    pub fn target(&self, link: &str) -> Option<(PathBuf, Option<String>)> {
        if link.starts_with("http://") || link.starts_with("https://") {
            return None;
        }
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let here = Path::new(&self.name);
        let path = if file.is_empty() { here.to_owned() } else { here.parent().unwrap().join(file) };
        let mut plain = PathBuf::new();
        for part in path.components() {
            if part.as_os_str() == ".." {
                assert!(plain.pop(), "{}: {link} leaves the repository", self.name)
            } else {
                plain.push(part)
            }
        }
        Some((plain, anchor.map(str::to_owned)))
    }

    /// Its text without fenced blocks, and these.
    fn parts(&self) -> (String, Vec<Block>) {
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        let mut open: Option<(usize, Block)> = None;
        for line in self.text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(language)) => {
                    let indent = line.len() - line.trim_start().len();
                    open = Some((indent, Block { language: language.trim().to_owned(), text: String::new() }));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), _) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => {
                    prose.push_str(line);
                    prose.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a fence is open at its end", self.name);
        (prose, blocks)
    }
}

#[test]
fn a_document_is_read_as_its_readers_see_it() {
    let text = "# A `b`: c, d\n## x_y\n# A `b`: c, d\n[one](a.md#b) `[two](no)`\n```sh\n# no [three](no)\n```\n 1. x\n   ```promql\n   up\n   ```\n";
    let document = Document { name: "docs/x.md".to_owned(), text: text.to_owned() };
    assert_eq!(document.anchors(), ["a-b-c-d", "x_y", "a-b-c-d-1"]);
    assert_eq!(document.links(), ["a.md#b"]);
    assert_eq!(document.code(), ["b", "b", "[two](no)"]);
    let blocks: Vec<_> = document.blocks().into_iter().map(|block| (block.language, block.text)).collect();
    assert_eq!(blocks[1], ("promql".to_owned(), "up\n".to_owned()));
    assert_eq!(blocks.len(), 2);
    assert_eq!(document.target("../b.md#c"), Some(("b.md".into(), Some("c".to_owned()))));
    assert_eq!(document.target("#c"), Some(("docs/x.md".into(), Some("c".to_owned()))));
    assert_eq!(document.target("https://a.example"), None);
}
