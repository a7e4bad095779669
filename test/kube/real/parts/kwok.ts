/** kwok: plays the kubelets of nodes that are not there, so that pods get addresses and become ready. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { moduleFolder, programPath } from '../../../peers/kube/build.ts';
import type { ControlPlane } from './control_plane.ts';
import { Part } from './part.ts';

const FAKE = 'example.test/fake-node';
/** What it does with nodes and pods, as it comes with the program. */
const STAGES = ['node/fast', 'node/heartbeat', 'pod/fast'];

export class Kwok {
  readonly part: Part;

  private constructor(part: Part) {
    this.part = part;
  }

  static start(cluster: ControlPlane): Kwok {
    const folder = moduleFolder('kwok', 'sigs.k8s.io/kwok');
    const texts = STAGES.flatMap((stage) => {
      const path = join(folder, 'kustomize/stage', stage);
      return readdirSync(path)
        .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
        .map((name) => readFileSync(join(path, name), 'utf8'));
    });
    const stages = join(cluster.folder, 'kwok.yaml');
    writeFileSync(stages, texts.join('\n---\n'));
    const part = new Part(
      [
        programPath('kwok'),
        ...['--kubeconfig', cluster.kubeconfig, '--config', stages],
        ...['--manage-nodes-with-label-selector', FAKE, '--cidr', '10.77.0.0/16'],
      ],
      join(cluster.folder, 'kwok.log'),
    );
    part.start();
    return new Kwok(part);
  }

  /** A node that it plays. */
  async node(cluster: ControlPlane, name: string): Promise<void> {
    const metadata = { name, labels: { [FAKE]: 'true' } };
    await cluster.ask('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata });
  }

  stop(): Promise<void> {
    return this.part.end();
  }
}
