/** `rules.http`. */
import type { RequestHead } from '../../../model/request_head.ts';
import type { View } from '../../compiled/port_rules.ts';
import type { L7Engine } from '../protocol.ts';
import { compileHttpRules } from './compile.ts';
import { httpVerdict } from './decide.ts';
import { HttpTrace } from './explain.ts';
import { printHttpRules } from './print.ts';

export const HTTP = {
  compile: compileHttpRules,
  decide: httpVerdict,
  explain: (view: View, head: RequestHead) => new HttpTrace(view, head),
  print: printHttpRules,
} satisfies L7Engine<'http'>;
