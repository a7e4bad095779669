/** Every L7 protocol. Not for the hot path, which knows whom it asks. */
import type { L7Protocol } from '../../model/decision.ts';
import type { Steps } from '../../model/steps.ts';
import type { L7RulesOf } from '../ast.ts';
import type { CompiledL7Of } from '../compiled/compiled_rule.ts';
import { DNS } from './dns/dns.ts';
import { HTTP } from './http/http.ts';
import type { L7CompileContext, L7Engine } from './protocol.ts';

const ENGINES: { readonly [P in L7Protocol]: L7Engine<P> } = { http: HTTP, dns: DNS };

export function compileL7<P extends L7Protocol>(
  l7: L7RulesOf<P>,
  context: L7CompileContext,
): Steps<CompiledL7Of<P>> {
  return ENGINES[l7.kind].compile(l7.rules, context);
}

export function printL7<P extends L7Protocol>(l7: CompiledL7Of<P>): readonly string[] {
  return ENGINES[l7.kind].print(l7);
}
