/**
 * hot path
 *
 * Judges the streams of one connection: when the head is here, and again when the stream is to be sent
 * upstream and the rules have changed while it waited. So nothing is sent that the rules in force at that
 * moment deny, or in a form that they do not want. Who is denied is answered at once.
 */

import { requestTrailers } from '../../model/trailer_fields.ts';
import { admittedFields, admittedMutations } from '../judge/admission.ts';
import { denialReply } from '../request/local_reply.ts';
import type { RelayContext } from '../request/relay.ts';
import { type Http2Endings, replyContext } from './endings.ts';
import type { Http2Exchange } from './exchange.ts';

export class Http2Judge {
  readonly #context: RelayContext;
  readonly #endings: Http2Endings;

  constructor(context: RelayContext, endings: Http2Endings) {
    this.#context = context;
    this.#endings = endings;
  }

  /** True: it has its permit and its source. False: it has been answered. */
  isAllowed(exchange: Http2Exchange): boolean {
    const { admission, subject, plane } = this.#context;
    const { behaviour, currentSnapshot } = plane.options;
    const { life, head } = exchange;
    exchange.snapshot = currentSnapshot();
    const decision = life.judge(subject, head);
    exchange.permit = admission.permitFor(decision);
    life.isDryRun = exchange.permit?.isDryRun === true;
    const denial = admission.denialOf(decision);
    if (denial !== null) {
      const reply = denialReply(denial, behaviour.denial, replyContext(exchange));
      this.#endings.answer(exchange, reply, null);
      return false;
    }
    // From the head as it came: what rules before these made of it is forgotten.
    exchange.source = head.source(admittedMutations(decision));
    const judged = admittedFields(decision);
    exchange.trailerRule =
      judged.length === 0 ? null : requestTrailers(judged, behaviour.underscores);
    if (exchange.source !== null) return true;
    this.#endings.answerFault(exchange, 'internal-error');
    return false;
  }

  /** The same of one that was allowed, if the rules are others since. */
  isStillAllowed(exchange: Http2Exchange): boolean {
    const { currentSnapshot } = this.#context.plane.options;
    return exchange.snapshot === currentSnapshot() || this.isAllowed(exchange);
  }
}
