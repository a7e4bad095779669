/**
 * Selectors of labels in the syntax of Kubernetes: "app=shop", "app in (shop,api)", "!app", with commas between. A key
 * may say from where the label is ("k8s:app", "reserved:world"); without, it is of any source.
 */
import type { Flow as HubbleFlow } from '../generated/flow/flow_pb.ts';
import { BadFilterError } from './bad_filter.ts';
import type { FlowTest } from './flow_test.ts';

/** Value of a label of the flow by its key; null without it. */
type LabelValue = (source: string, key: string) => string | null;
type Requirement = (labelValue: LabelValue) => boolean;

const KEY =
  /^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?$/;
/** A key, then what is asked of it; without space around. No part can take what another one takes: a client writes it. */
const ITEM = /^(!?)\s*([^\s=!,<>()]+)(.*)$/s;
const COMPARED = /^(==?|!=|<|>)\s*(.*)$/s;
const LISTED = /^(in|notin)\s*\((.*)\)$/s;
const NUMBER = /^[-+]?[0-9]{1,18}$/;

export function selectorsTest(
  texts: readonly string[],
  labelsOf: (flow: HubbleFlow) => readonly string[] | undefined,
): FlowTest {
  const selectors = texts.map(selectorOf);
  return (flow) => {
    const labels = (labelsOf(flow) ?? []).map(labelOf);
    const labelValue: LabelValue = (source, key) =>
      labels.find((own) => own.key === key && (source === '' || own.source === source))?.value ??
      null;
    return selectors.some((selector) => selector.every((requirement) => requirement(labelValue)));
  };
}

function selectorOf(text: string): readonly Requirement[] {
  if (text.trim() === '') return [];
  return itemsOf(text).map((item) => requirementOf(item, text));
}

/** At commas that are in no list of values. */
function itemsOf(text: string): readonly string[] {
  const items: string[] = [];
  let start = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '(') depth++;
    if (character === ')') depth--;
    if (character === ',' && depth === 0) {
      items.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...items, text.slice(start)];
}

function requirementOf(item: string, selector: string): Requirement {
  const parts = ITEM.exec(item.trim());
  if (parts === null) throw notASelector(selector);
  const [, negation, name = '', behind = ''] = parts;
  const rest = behind.trimStart();
  const { source, key } = keyOf(name, selector);
  if (negation === '!') {
    if (rest !== '') throw notASelector(selector);
    return (labelValue) => labelValue(source, key) === null;
  }
  if (rest === '') return (labelValue) => labelValue(source, key) !== null;
  const test = valueTestOf(rest, selector);
  return (labelValue) => test(labelValue(source, key));
}

function valueTestOf(rest: string, selector: string): (value: string | null) => boolean {
  const [, list, texts = ''] = LISTED.exec(rest) ?? [];
  if (list !== undefined) {
    const values = texts.split(',').map((text) => valueIn(text, selector));
    return list === 'in'
      ? (value) => value !== null && values.includes(value)
      : (value) => value === null || !values.includes(value);
  }
  const [, operator, text = ''] = COMPARED.exec(rest) ?? [];
  const wanted = valueIn(text, selector);
  switch (operator) {
    case '=':
    case '==':
      return (value) => value === wanted;
    case '!=':
      return (value) => value !== wanted;
    case '<':
    case '>':
      return orderTest(operator, wanted, selector);
    default:
      throw notASelector(selector);
  }
}

function orderTest(
  operator: '<' | '>',
  bound: string,
  selector: string,
): (value: string | null) => boolean {
  if (!NUMBER.test(bound)) throw notASelector(selector);
  const limit = BigInt(bound);
  return (value) => {
    if (value === null || !NUMBER.test(value)) return false;
    return operator === '<' ? BigInt(value) < limit : BigInt(value) > limit;
  };
}

function keyOf(name: string, selector: string): { source: string; key: string } {
  const colon = name.indexOf(':');
  const source = colon === -1 ? '' : name.slice(0, colon);
  const key = name.slice(colon + 1);
  // As the agent checks it: with the source in front.
  if (!KEY.test(`${source === '' ? 'any' : source}.${key}`)) throw notASelector(selector);
  return { source: source === 'any' ? '' : source, key };
}

function valueIn(text: string, selector: string): string {
  const value = text.trim();
  if (!VALUE.test(value)) throw notASelector(selector);
  return value;
}

function labelOf(text: string): { source: string; key: string; value: string } {
  const equals = text.indexOf('=');
  const name = equals === -1 ? text : text.slice(0, equals);
  const colon = name.indexOf(':');
  return {
    source: colon === -1 ? '' : name.slice(0, colon),
    key: name.slice(colon + 1),
    value: equals === -1 ? '' : text.slice(equals + 1),
  };
}

function notASelector(selector: string): BadFilterError {
  return new BadFilterError(`invalid label selector "${selector}"`);
}
