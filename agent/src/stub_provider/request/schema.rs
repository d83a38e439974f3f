//! The parameters of an offered tool: read in one pass and not kept, because a request brings tens of KiB of them.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A JSON Schema as far as `OpenAI` looks at it.
#[derive(Debug, Default)]
pub(super) struct Schema {
    is_object: bool,
    is_array: bool,
    has_properties: bool,
    has_items: bool,
    /// Says on its top level that it is one of several things.
    chooses: bool,
    /// What is wrong further down: the path, innermost first, and why.
    within: Option<(Vec<String>, &'static str)>,
}

impl Schema {
    /// Why it cannot be a tool's parameters.
    pub(super) fn unfit(&self) -> Option<String> {
        if !self.is_object {
            return Some("schema must be a JSON Schema of 'type: \"object\"'".to_owned());
        }
        if self.chooses {
            return Some(
                "schema must not have 'oneOf', 'anyOf', 'allOf', 'enum' or 'not' at the top level"
                    .to_owned(),
            );
        }
        let (path, why) = match &self.within {
            Some((path, why)) => (path.as_slice(), *why),
            None => (&[][..], self.lacks()?),
        };
        let path: Vec<String> = path.iter().rev().map(|p| format!("'{p}'")).collect();
        Some(format!("In context=({}), {why}", path.join(", ")))
    }

    /// What it lacks itself.
    fn lacks(&self) -> Option<&'static str> {
        if self.is_array && !self.has_items {
            return Some("array schema missing items");
        }
        if self.is_object && !self.has_properties {
            return Some("object schema missing properties");
        }
        None
    }

    /// Remembers what is wrong with a schema inside this one. An object inside may hold anything.
    fn take(&mut self, inner: Schema, path: &[&str]) {
        let lacks = (inner.is_array && !inner.has_items).then_some("array schema missing items");
        let wrong = inner.within.or_else(|| lacks.map(|why| (Vec::new(), why)));
        if let Some((mut places, why)) = wrong
            && self.within.is_none()
        {
            places.extend(path.iter().rev().map(|&p| p.to_owned()));
            self.within = Some((places, why));
        }
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schema, D::Error> {
        deserializer.deserialize_any(Whole)
    }
}

/// A schema: an object, or `true` and `false` inside another.
struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Schema;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON Schema")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Schema, E> {
        Ok(Schema::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schema, A::Error> {
        let mut schema = Schema::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => {
                    let Types { object, array } = map.next_value()?;
                    (schema.is_object, schema.is_array) = (object, array);
                }
                "properties" => {
                    schema.has_properties = true;
                    map.next_value_seed(Named(&mut schema, "properties"))?;
                }
                "$defs" | "definitions" => map.next_value_seed(Named(&mut schema, &key))?,
                "items" => {
                    schema.has_items = true;
                    schema.take(map.next_value()?, &["items"]);
                }
                "oneOf" | "anyOf" | "allOf" => {
                    schema.chooses = true;
                    for inner in map.next_value::<Vec<Schema>>()? {
                        schema.take(inner, &[&key]);
                    }
                }
                _ => {
                    schema.chooses |= key == "enum" || key == "not";
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(schema)
    }
}

/// Schemas by name, inside another.
struct Named<'a>(&'a mut Schema, &'a str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of JSON Schemas")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, inner)) = map.next_entry::<String, Schema>()? {
            self.0.take(inner, &[self.1, &name]);
        }
        Ok(())
    }
}

/// `"object"`, or several types.
#[derive(Default)]
struct Types {
    object: bool,
    array: bool,
}

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Types, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Types;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type or several")
            }

            fn visit_str<E>(self, name: &str) -> Result<Types, E> {
                Ok(Types {
                    object: name == "object",
                    array: name == "array",
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Types, A::Error> {
                let mut types = Types::default();
                while let Some(name) = names.next_element::<String>()? {
                    types.object |= name == "object";
                    types.array |= name == "array";
                }
                Ok(types)
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn unfit(schema: Value) -> Option<String> {
        serde_json::from_value::<Schema>(schema).unwrap().unfit()
    }

    #[test]
    fn schemas_of_our_kind_are_fit() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Bill", "additionalProperties": false, "required": ["lines"],
            "properties": {
                "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1},
                "count": {"anyOf": [{"type": "string"}, {"enum": ["all"]}]},
                "more": true,
                "free": {"type": "object"},
            },
            "$defs": {"Line": {"type": "object", "properties": {"item": {"type": ["string"]}}}},
            "type": "object",
        });
        assert_eq!(unfit(schema), None);
        assert_eq!(unfit(json!({"type": "object", "properties": {}})), None);
    }

    #[test]
    fn lists_say_what_they_hold_wherever_they_are() {
        let list = || json!({"type": "array"});
        for (inner, place) in [
            (json!({"properties": {"a": list()}}), "('properties', 'a')"),
            (
                json!({"properties": {"a": {"anyOf": [list()]}}}),
                "('properties', 'a', 'anyOf')",
            ),
            (
                json!({"properties": {}, "$defs": {"L": {"items": list(), "type": "array"}}}),
                "('$defs', 'L', 'items')",
            ),
        ] {
            let mut schema = inner;
            schema["type"] = json!("object");
            let why = unfit(schema).unwrap();
            assert_eq!(
                why,
                format!("In context={place}, array schema missing items")
            );
        }
    }

    #[test]
    fn what_is_no_schema_is_an_error() {
        for value in [
            json!("object"),
            json!([]),
            json!({"properties": []}),
            json!({"type": 1}),
        ] {
            assert!(serde_json::from_value::<Schema>(value).is_err());
        }
    }
}
