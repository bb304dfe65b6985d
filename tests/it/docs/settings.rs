//! The settings as the types that read them say: their paths, kinds, defaults and meanings, from the source itself.
//!
//! It starts at `Config` and goes down, so that a new field, or a new type under one, is there of itself. A default is
//! what the field's documentation says after the word "default".

use std::collections::BTreeMap;
use std::path::Path;

use linkit_bridge::config::VARIABLES;
use syn::{Attribute, Expr, Field, Fields, GenericArgument, Item, Lit, LitStr, Meta, PathArguments, Token, Type};

use crate::support::root;

/// One key of a map.
pub struct Setting {
    pub key: String,
    pub kind: String,
    pub default: Option<String>,
    pub meaning: String,
}

/// The keys of one map of the file.
pub struct Table {
    /// Where the map may stand.
    pub paths: Vec<String>,
    /// What it is, if that is the same in all places.
    pub meaning: String,
    pub settings: Vec<Setting>,
}

/// All tables, in the order of their fields.
pub fn tables() -> Vec<Table> {
    let types = Types::read();
    let mut found = Vec::new();
    types.walk("Config", "", "", &mut found);
    found.into_iter().map(|(_, table)| table).collect()
}

/// Every field of a type of the file, or of the command line, that holds a secret, as `Type.field`.
pub fn secrets() -> Vec<String> {
    let types = Types::read().0;
    let of_type = |(name, found): (&String, &Vec<Declared>)| {
        let read = found.iter().filter(|declared| declared.is_read);
        let fields = read.flat_map(|declared| declared.fields.iter());
        let secret = fields.filter(|field| kind_words(&field.ty).contains(&"SecretString".to_owned()));
        secret.map(|field| format!("{name}.{}", field.ident.as_ref().unwrap())).collect::<Vec<_>>()
    };
    let mut found: Vec<_> = types.iter().flat_map(of_type).collect();
    found.sort();
    found
}

/// A type of the source.
struct Declared {
    /// Whether serde or clap makes it from what an operator writes.
    is_read: bool,
    /// Whether a field that is left out has a default of its own.
    has_defaults: bool,
    fields: Vec<Field>,
    /// The words of an enum, the default first if there is one.
    words: Option<(Vec<String>, Option<String>)>,
}

struct Types(BTreeMap<String, Vec<Declared>>);

/// A type and the table of its keys.
type Found = Vec<(String, Table)>;

impl Types {
    fn read() -> Self {
        let mut types = BTreeMap::<String, Vec<Declared>>::new();
        let mut folders = vec![root().join("src")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    for (name, declared) in declared(&path) {
                        types.entry(name).or_default().push(declared);
                    }
                }
            }
        }
        Self(types)
    }

    /// The one type of this name that is read, or else the one there is.
    fn get(&self, name: &str) -> Option<&Declared> {
        let found = self.0.get(name)?;
        let mut read = found.iter().filter(|declared| declared.is_read);
        match (read.next(), read.next()) {
            (Some(_), Some(_)) => panic!("two types called {name} are read; call one of them otherwise"),
            (Some(one), None) => Some(one),
            (None, _) => found.first(),
        }
    }

    fn walk(&self, name: &str, path: &str, meaning: &str, found: &mut Found) {
        let declared = self.get(name).unwrap_or_else(|| panic!("no type {name}"));
        let known = found.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or(found.len());
        if let Some((_, table)) = found.get_mut(at) {
            table.paths.push(path.to_owned());
            if table.meaning != meaning {
                table.meaning.clear();
            }
        } else {
            let table = Table { paths: vec![path.to_owned()], meaning: meaning.to_owned(), settings: Vec::new() };
            found.push((name.to_owned(), table));
        }
        for field in declared.fields.iter().filter(|field| !serde(&field.attrs).contains_key("skip")) {
            let key = field.ident.as_ref().unwrap().to_string();
            let (below, leaf) = below(&field.ty);
            if self.get(&leaf).is_some_and(|declared| declared.is_read && declared.words.is_none()) {
                self.walk(&leaf, &(joined(path, &key) + &below), &documentation(&field.attrs), found);
            } else if known.is_none() {
                found[at].1.settings.push(self.setting(declared, field, key));
            }
        }
    }

    fn setting(&self, declared: &Declared, field: &Field, key: String) -> Setting {
        let meaning = documentation(&field.attrs);
        let words = kind_words(&field.ty);
        let last = words.last().and_then(|word| self.get(word)).and_then(|declared| declared.words.as_ref());
        let (meaning, said) = without_default(&meaning);
        let optional = words[0] == "Option" || declared.has_defaults || serde(&field.attrs).contains_key("default");
        let of_words = || last.and_then(|(_, default)| default.clone()).map(|word| format!("`{word}`"));
        let default = if optional { said.or_else(of_words) } else { Some("must be set".to_owned()) };
        Setting { key, kind: self.kind(&words), default, meaning }
    }

    fn kind(&self, words: &[String]) -> String {
        match words[0].as_str() {
            "Option" => self.kind(&words[1..]),
            "Vec" => format!("list of {}", self.kind(&words[1..])),
            "BTreeMap" => format!("map of {}", self.kind(&words[2..])),
            "String" => "text".to_owned(),
            "PathBuf" => "path".to_owned(),
            "SecretString" => "secret".to_owned(),
            "Duration" => "duration".to_owned(),
            "ByteSize" => "size".to_owned(),
            "bool" => "`true`, `false`".to_owned(),
            "u8" | "u16" | "u32" | "u64" | "usize" => "whole number".to_owned(),
            number if number.starts_with("NonZero") => "whole number".to_owned(),
            "f32" | "f64" => "number".to_owned(),
            other => match self.get(other).and_then(|declared| declared.words.as_ref().filter(|_| declared.is_read)) {
                Some((words, _)) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
                None => "text".to_owned(),
            },
        }
    }
}

impl Table {
    /// The variables that set a key in one of the table's places.
    pub fn variables(&self, key: &str) -> Vec<&'static str> {
        let plain = |path: &str| path.replace("[0]", "").replace("[]", "");
        let keys: Vec<_> = self.paths.iter().map(|path| plain(&joined(path, key))).collect();
        VARIABLES.iter().filter(|(_, path)| keys.contains(&plain(path))).map(|(name, _)| *name).collect()
    }
}

/// What follows a field's key in the paths below it, and the type that is there.
fn below(ty: &Type) -> (String, String) {
    let mut path = String::new();
    let mut words = kind_words(ty).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "Option" => {}
            "Vec" => path.push_str("[]"),
            "BTreeMap" => {
                path.push_str(".<name>");
                words.next();
            }
            // One, or a list of such.
            "OtlpEndpoints" => return (path, "OtlpSection".to_owned()),
            _ => return (path, word),
        }
    }
    (path, String::new())
}

/// A key below a path.
pub fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn declared(path: &Path) -> Vec<(String, Declared)> {
    let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let items = file.items.into_iter();
    items
        .filter_map(|item| match item {
            Item::Struct(item) => {
                let Fields::Named(fields) = item.fields else { return None };
                let declared = Declared {
                    is_read: is_read(&item.attrs),
                    has_defaults: serde(&item.attrs).contains_key("default"),
                    fields: fields.named.into_iter().collect(),
                    words: None,
                };
                Some((item.ident.to_string(), declared))
            }
            Item::Enum(item) => {
                let all = serde(&item.attrs).get("rename_all").cloned().unwrap_or_default();
                let (mut words, mut default) = (Vec::new(), None);
                for variant in &item.variants {
                    let renamed = serde(&variant.attrs).get("rename").cloned();
                    let word = renamed.unwrap_or_else(|| cased(&variant.ident.to_string(), &all));
                    if variant.attrs.iter().any(|attribute| attribute.path().is_ident("default")) {
                        default = Some(word.clone());
                    }
                    words.push(word);
                }
                let words = Some((words, default));
                let declared =
                    Declared { is_read: is_read(&item.attrs), has_defaults: false, fields: Vec::new(), words };
                Some((item.ident.to_string(), declared))
            }
            _ => None,
        })
        .collect()
}

fn is_read(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let derived = list.tokens.to_string();
        derived.contains("Deserialize") || derived.contains("Args")
    })
}

/// What serde is told of an item: each word with its value, if it has one.
fn serde(attributes: &[Attribute]) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                let word = meta.path.get_ident().unwrap().to_string();
                let has_value = meta.input.peek(Token![=]);
                let value = if has_value { meta.value()?.parse::<LitStr>()?.value() } else { String::new() };
                told.insert(word, value);
                Ok(())
            })
            .unwrap();
    }
    told
}

fn cased(variant: &str, all: &str) -> String {
    match all {
        "lowercase" => variant.to_lowercase(),
        "camelCase" => variant[..1].to_lowercase() + &variant[1..],
        "snake_case" | "kebab-case" => {
            let between = if all == "snake_case" { "_" } else { "-" };
            let mut out = String::new();
            for c in variant.chars() {
                if c.is_uppercase() && !out.is_empty() {
                    out.push_str(between);
                }
                out.extend(c.to_lowercase());
            }
            out
        }
        "" => variant.to_owned(),
        other => panic!("serde's rename_all = {other:?} is not known here; add it"),
    }
}

/// The names in a type, from the outside inwards.
fn kind_words(ty: &Type) -> Vec<String> {
    let Type::Path(path) = ty else { return vec![String::new()] };
    let segment = path.path.segments.last().unwrap();
    let mut words = vec![segment.ident.to_string()];
    if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
        for argument in &arguments.args {
            if let GenericArgument::Type(inner) = argument {
                words.extend(kind_words(inner));
            }
        }
    }
    words
}

/// The documentation as one line.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(literal) = &pair.value else { return None };
        let Lit::Str(text) = &literal.lit else { return None };
        Some(text.value().trim().to_owned())
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// A meaning, and the default that it tells: `…; default 5s.`, `… Default 5s.` or `` `gzip` (default) ``.
fn without_default(text: &str) -> (String, Option<String>) {
    if let Some((before, _)) = text.split_once(" (default)") {
        let word = before.rsplit([' ', ',']).next().unwrap_or_default();
        return (text.to_owned(), Some(word.to_owned()));
    }
    for (mark, end) in [("; default", "."), (". Default", ".")] {
        let Some((before, after)) = text.split_once(mark) else { continue };
        let after = after.trim_start_matches(':').trim_start();
        let (default, rest) = after.split_once(". ").unwrap_or((after.trim_end_matches('.'), ""));
        let meaning = format!("{before}{end} {rest}");
        return (meaning.trim().to_owned(), Some(default.to_owned()));
    }
    (text.to_owned(), None)
}
