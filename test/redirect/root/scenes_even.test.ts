import { provesFixtures } from './fixture_scenes.ts';

provesFixtures('even');
