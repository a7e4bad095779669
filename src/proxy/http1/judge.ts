/**
 * hot path
 *
 * Judges the requests of one HTTP/1.1 connection: when the head is here, again when the upstream connection that
 * it waited for is and the rules have changed meanwhile, and again when it is about to become a tunnel. So
 * nothing is sent that the rules in force at that moment deny, or in a form that they do not want.
 */
import type { Decision, DenyDecision } from '../../model/decision.ts';
import type { RelayContext } from '../request/relay.ts';
import type { Http1Exchange } from './exchange.ts';

export class Http1Judge {
  readonly #context: RelayContext;

  constructor(context: RelayContext) {
    this.#context = context;
  }

  /** Null: it may go on, as `exchange.life.decision` says. */
  denialOf(exchange: Http1Exchange): DenyDecision | null {
    const { admission, subject, plane } = this.#context;
    const { life, head } = exchange;
    exchange.judgedBy = plane.options.currentSnapshot();
    const decision = life.judge(subject, head);
    exchange.permit = admission.permitFor(decision);
    life.isDryRun = exchange.permit?.isDryRun === true;
    return admission.denialOf(decision);
  }

  /** The same of one that was allowed and had to wait. */
  lateDenialOf(exchange: Http1Exchange): DenyDecision | null {
    const { currentSnapshot } = this.#context.plane.options;
    return exchange.judgedBy === currentSnapshot() ? null : this.denialOf(exchange);
  }

  /** Of one that has been sent: whether its tunnel may be open now. */
  tunnelDenialOf({ head }: Http1Exchange): DenyDecision | null {
    const { admission, subject } = this.#context;
    return admission.denialOf(subject.judgeRequest(head));
  }

  /** A tunnel has no later request at which a changed policy could be met: its own one is judged again. */
  judgeOpen(tunnelled: Http1Exchange | null): Decision {
    const { subject } = this.#context;
    if (tunnelled === null) return subject.judgeConnection();
    return subject.judgeRequest(tunnelled.head);
  }
}
