//! Every YAML document under `deploy/`.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// One object and where it stands.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) file: PathBuf,
    pub(crate) value: Value,
}

impl Document {
    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Parses all of them; one that is not YAML or not an object fails the test that asked.
pub(crate) fn all() -> Vec<Document> {
    let mut files = Vec::new();
    collect(&root().join("deploy"), &mut files);
    files.sort();
    let mut documents = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let values = parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        documents.extend(values.into_iter().map(|value| Document { file: file.clone(), value }));
    }
    assert!(documents.len() > 20, "only {} documents found", documents.len());
    documents
}

pub(crate) fn parse(text: &str) -> Result<Vec<Value>, String> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| e.to_string())?;
    Ok(values.into_iter().filter(|v| !v.is_null()).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
}

/// The value behind a JSON pointer, null when there is none.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// A list of strings; nothing for null.
pub(crate) fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Every map in a value.
pub(crate) fn visit(value: &Value, each: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(map) => {
            each(value);
            map.values().for_each(|v| visit(v, each));
        }
        Value::Array(list) => list.iter().for_each(|v| visit(v, each)),
        _ => {}
    }
}
