// What expressions run in: nothing that reaches the host, reads a clock of its own, or does unbounded work
// behind one call. check, tick, pattern and size are given by the host; limits are its own.
(function (check, tick, pattern, size, maxText, maxList) {
  'use strict';
  const wrap = (object, names, guard) => {
    for (const name of names) {
      const original = object[name];
      if (typeof original !== 'function') continue;
      Object.defineProperty(object, name, {
        configurable: false, enumerable: false, writable: false,
        value: function (...args) {
          tick();
          guard(this, args);
          return check(Reflect_apply(original, this, args));
        },
      });
    }
  };
  const Reflect_apply = Reflect.apply;
  const tooLong = () => { throw new RangeError('a list is longer than ' + maxList); };
  const tooMuch = () => { throw new RangeError('a text is longer than ' + maxText); };
  const list = (v) => { if (v != null && v.length > maxList) tooLong(); };
  const methods = (prototype) => Object.getOwnPropertyNames(prototype).filter((n) => n !== 'constructor' && n !== 'length' && typeof Object.getOwnPropertyDescriptor(prototype, n).value === 'function');

  const joined = (self, args) => {
    list(self);
    size(self);
    const gap = args.length > 0 && args[0] !== undefined ? String(args[0]).length : 1;
    let total = 0;
    for (let i = 0; i < self.length; i++) {
      const v = self[i];
      total += gap + (typeof v === 'string' ? v.length : 24);
      if (total > maxText) tooMuch();
    }
  };
  const prototype = Array.prototype;
  wrap(prototype, ['join'], joined);
  wrap(prototype, ['flat'], (self) => { list(self); size(self); });
  wrap(prototype, methods(prototype).filter((n) => n !== 'join' && n !== 'flat'), (self, args) => { list(self); for (let i = 0; i < args.length; i++) list(args[i]); });
  const iterator = prototype[Symbol.iterator];
  Object.defineProperty(prototype, Symbol.iterator, { writable: false, configurable: false, value: function () { list(this); return Reflect_apply(iterator, this, []); } });
  wrap(Array, ['from', 'of'], (self, args) => { list(args[0]); });

  const text = String.prototype;
  wrap(text, ['repeat'], (self, args) => { if (String(self).length * args[0] > maxText) tooMuch(); });
  wrap(text, ['padStart', 'padEnd'], (self, args) => { if (args[0] > maxText) tooMuch(); });
  wrap(text, ['replace', 'replaceAll'], (self, args) => {
    if (typeof args[1] === 'string' && (String(self).length + 1) * (args[1].length + 1) > 16 * maxText) tooMuch();
  });
  wrap(text, ['match', 'matchAll', 'search'], (self, args) => { if (typeof args[0] === 'string') pattern(args[0]); });
  wrap(text, ['concat'], (self, args) => {
    let total = String(self).length;
    for (const a of args) { total += String(a).length; if (total > maxText) tooMuch(); }
  });
  wrap(Function.prototype, ['apply'], (self, args) => { list(args[1]); });
  wrap(JSON, ['stringify'], (self, args) => { size(args[0]); });

  // Local time is UTC, on whatever machine the expression runs.
  const day = Date.prototype;
  for (const n of Object.getOwnPropertyNames(day)) {
    const utc = n.replace(/^([gs]et)UTC/, '$1');
    if (utc !== n) Object.defineProperty(day, utc, { writable: false, configurable: false, value: day[n] });
  }
  for (const n of ['toString', 'toDateString', 'toTimeString', 'toLocaleString', 'toLocaleDateString', 'toLocaleTimeString']) {
    Object.defineProperty(day, n, { writable: false, configurable: false, value: function () { return this.toUTCString(); } });
  }
  Object.defineProperty(day, 'getTimezoneOffset', { writable: false, configurable: false, value: () => 0 });
  const Clock = Date;
  const zoned = (s) => typeof s === 'string' && /\d:\d/.test(s) && !/(z|gmt|utc|[+-]\d\d:?\d\d)\s*$/i.test(s) ? s + 'Z' : s;
  const Day = function (...args) {
    if (!new.target) return new Clock().toString();
    if (args.length === 0) return new Clock();
    return args.length === 1 ? new Clock(zoned(args[0])) : new Clock(Clock.UTC(...args));
  };
  Day.prototype = day;
  Day.now = Clock.now;
  Day.UTC = Clock.UTC;
  Day.parse = (s) => Clock.parse(zoned(s));
  Object.defineProperty(day, 'constructor', { writable: false, configurable: false, value: Day });
  globalThis.Date = Day;

  // Code from text would not be counted, and these allocate or compute without bound.
  for (const f of [function () {}, function* () {}, async function () {}, async () => {}]) {
    Object.defineProperty(Object.getPrototypeOf(f), 'constructor', { writable: false, configurable: false, value: undefined });
  }
  Object.defineProperty(RegExp.prototype, 'constructor', { writable: false, configurable: false, value: undefined });
  for (const n of ['eval', 'Function', 'RegExp', 'BigInt', 'Proxy', 'Reflect', 'ArrayBuffer', 'SharedArrayBuffer', 'DataView', 'Promise', 'WeakRef',
    'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array']) {
    delete globalThis[n];
  }

  // Nothing of the language itself can be changed, so that no evaluation leaves a trace for the next one in the same place.
  const frozen = new Set([globalThis]);
  const harden = (v) => {
    if (v === null || (typeof v !== 'object' && typeof v !== 'function') || frozen.has(v)) return;
    frozen.add(v);
    Object.freeze(v);
    harden(Object.getPrototypeOf(v));
    for (const key of Object.getOwnPropertyNames(v).concat(Object.getOwnPropertySymbols(v))) {
      const p = Object.getOwnPropertyDescriptor(v, key);
      harden(p.value);
      harden(p.get);
      harden(p.set);
    }
  };
  return () => {
    for (const key of Object.getOwnPropertyNames(globalThis)) harden(Object.getOwnPropertyDescriptor(globalThis, key).value);
    for (const v of [[][Symbol.iterator](), ''[Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](), 'a'.matchAll(/a/g), function* () {}, (function* () {})(), /a/, Symbol()]) {
      harden(v);
      harden(Object.getPrototypeOf(v));
    }
    Object.freeze(globalThis);
  };
})
