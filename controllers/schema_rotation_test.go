package controllers_test

import "testing"

const rotated = "secrets: {paths: [app/db]}\nwhen: {every: 90d}\nmode: Generate\n"

// The API server refuses a RotationSchedule that cannot mean what it says.
func TestRotationScheduleSchema(t *testing.T) {
	when := func(text string) string { return "secrets: {paths: [app/db]}\nmode: Notify\nwhen: " + text }
	of := func(text string) string { return "when: {every: 90d}\nmode: Notify\nsecrets: " + text }
	field := func(text string) string { return rotated + "generate: {fields: [{name: password, " + text + "}]}" }
	refuse(t, "rotationschedules", []schemaCase{
		{name: "smallest", spec: rotated},
		{name: "full", spec: `
serviceAccountName: rotator
secrets: {paths: [app/db, app/cache], pathPattern: "environments/*/{namespace}/**", tags: [rotate]}
when: {cron: "0 3 * * 6", timeZone: Europe/Amsterdam, window: 2h, spread: 1h}
mode: Generate
generate:
  fields:
  - {name: password, generator: random, length: 32, charset: safe, require: [Upper, Lower, Digit, Symbol]}
  - {name: token, generator: hex, length: 64}
  - {name: id, generator: uuid, version: 7}
  - {name: key, generator: template, template: "k-{{random:20}}"}
  - {name: rsa, generator: rsa_keypair, bits: 4096}
  - {name: ec, generator: ec_keypair, curve: P-384}
  - {name: ssh, generator: ssh_keypair, keyType: ed25519, comment: deploy}
  - {name: admin, generator: bcrypt_hash, length: 24, rounds: 12}
grace: {period: 48h, waitForConsumers: true, deadline: 7d}
warnBefore: [7d, 1d]
`},
		{name: "notify", spec: of("{pathPattern: 'app/**'}")},
		{name: "no secrets", spec: of("{}"), want: "at least one of paths, pathPattern and tags"},
		{name: "empty members", spec: of("{paths: [], tags: []}"), want: "at least one of paths, pathPattern and tags"},
		{name: "a path twice", spec: of("{paths: [a, a]}"), want: "Duplicate value"},
		{name: "path with a pattern", spec: of("{paths: ['app/*']}"), want: "must be one to ten segments"},
		{name: "pattern of a class", spec: of("{pathPattern: 'partner:shared/**'}"), want: "without a class"},
		{name: "pattern with a leading slash", spec: of("{pathPattern: '/app/**'}"), want: "leading, trailing or doubled slash"},
		{name: "empty tag", spec: of("{tags: ['']}"), want: "spec.secrets.tags[0]"},
		{name: "neither every nor cron", spec: when("{spread: 1h}"), want: "exactly one of every and cron"},
		{name: "every and cron", spec: when("{every: 90d, cron: '0 3 * * 6'}"), want: "exactly one of every and cron"},
		{name: "interval zero", spec: when("{every: 0d}"), want: "must be a positive duration"},
		{name: "negative interval", spec: when("{every: -1h}"), want: "must be a positive duration"},
		{name: "interval in words", spec: when("{every: monthly}"), want: "must be a positive duration"},
		{name: "zone of an interval", spec: when("{every: 90d, timeZone: UTC}"), want: "timeZone and window are only possible with cron"},
		{name: "window of an interval", spec: when("{every: 90d, window: 1h}"), want: "timeZone and window are only possible with cron"},
		{name: "spread of an interval", spec: when("{every: 90d, spread: 12h}")},
		{name: "no mode", spec: "secrets: {paths: [app/db]}\nwhen: {every: 90d}", want: "spec.mode"},
		{name: "unknown mode", spec: "secrets: {paths: [app/db]}\nwhen: {every: 90d}\nmode: Run", want: "Unsupported value"},
		{name: "recipe of somebody else", spec: when("{every: 90d}") + "\ngenerate: {fields: [{name: a, generator: uuid}]}", want: "generate is only possible with mode Generate"},
		{name: "no fields", spec: rotated + "generate: {fields: []}", want: "spec.generate.fields"},
		{name: "a field twice", spec: rotated + "generate: {fields: [{name: a, generator: uuid}, {name: a, generator: hex}]}", want: "Duplicate value"},
		{name: "a fixed value", spec: field("generator: static"), want: "Unsupported value"},
		{name: "a program", spec: field("generator: exec"), want: "Unsupported value"},
		{name: "length of a UUID", spec: field("generator: uuid, length: 3"), want: "length is only possible with the generators"},
		{name: "length zero", spec: field("generator: random, length: -1"), want: "greater than or equal to 1"},
		{name: "charset of hex", spec: field("generator: hex, charset: safe"), want: "charset and require are only possible"},
		{name: "template without text", spec: field("generator: template"), want: "template is required"},
		{name: "text without template", spec: field("generator: random, template: x"), want: "template is required"},
		{name: "a weak key", spec: field("generator: rsa_keypair, bits: 512"), want: "Unsupported value"},
		{name: "deadline that nobody waits for", spec: rotated + "grace: {deadline: 7d}", want: "deadline is only possible with waitForConsumers"},
		{name: "deadline for nobody", spec: rotated + "grace: {deadline: 7d, waitForConsumers: false}", want: "deadline is only possible with waitForConsumers"},
		{name: "warning zero", spec: rotated + "warnBefore: [0s]", want: "must be a positive duration"},
		{name: "a file", spec: rotated + "generate: {fields: [{name: a, generator: random, fromFile: /etc/passwd}]}", want: "unknown field"},
		{name: "a namespace", spec: rotated + "serviceAccountName: other/rotator", want: "must be the name of a ServiceAccount in this namespace"},
	})
}
