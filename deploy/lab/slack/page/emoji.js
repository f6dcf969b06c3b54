// Shortcodes. Status marks are drawn, so that they look alike everywhere and need no emoji font; the rest are characters.
import { el, icon } from "./dom.js";

const DRAWN = {
  white_check_mark: ["ok", "M5 12.5l4.5 4.5L19 7.5"], heavy_check_mark: ["ok", "M5 12.5l4.5 4.5L19 7.5"],
  ballot_box_with_check: ["ok", ["M4 4h16v16H4z", "M8 12.5l3 3 5.5-6"]],
  x: ["bad", "M6 6l12 12M18 6L6 18"], heavy_multiplication_x: ["bad", "M6 6l12 12M18 6L6 18"],
  no_entry: ["bad", ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M7.5 12h9"]], no_entry_sign: ["bad", ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M6 6l12 12"]],
  octagonal_sign: ["bad", ["M8 3h8l5 5v8l-5 5H8l-5-5V8z", "M9 12h6"]], stop_sign: ["bad", ["M8 3h8l5 5v8l-5 5H8l-5-5V8z", "M9 12h6"]],
  warning: ["warn", ["M12 4L2.5 20h19z", "M12 10v4.5M12 17.3h.01"]],
  hourglass: ["dim", "M7 4h10M7 20h10M8 4c0 5 8 6 8 8s-8 3-8 8M16 4c0 5-8 6-8 8s8 3 8 8"],
  hourglass_flowing_sand: ["dim", "M7 4h10M7 20h10M8 4c0 5 8 6 8 8s-8 3-8 8M16 4c0 5-8 6-8 8s8 3 8 8"],
  white_circle: ["dim", "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14"], lock: ["dim", ["M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"]],
  shield: ["info", "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6z"], bell: ["info", ["M6 17h12l-2-3v-4a4 4 0 0 0-8 0v4z", "M10.5 20h3"]],
  key: ["dim", ["M8 11a4 4 0 1 0 0 2h12v3M16 13v3"]], mag: ["dim", ["M10.5 4.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12", "M15 15l5 5"]],
  eyes: ["info", ["M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6z", "M12 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4"]],
  wrench: ["dim", "M19 6l-4 4-2-2 4-4a5 5 0 0 0-6 6.5L4.5 17 7 19.5l6.5-6.5A5 5 0 0 0 19 6z"],
  memo: ["dim", ["M6 3h9l4 4v14H6z", "M9 12h7M9 16h7"]], page_facing_up: ["dim", ["M6 3h9l4 4v14H6z", "M15 3v4h4"]],
  rotating_light: ["bad", ["M6 18h12M8 18v-5a4 4 0 0 1 8 0v5", "M12 4v2M4.5 8l1.5 1M19.5 8L18 9"]],
  arrow_right: ["dim", "M4 12h15M13 6l6 6-6 6"], link: ["dim", ["M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1", "M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1"]],
};
const DOTS = { large_green_circle: "ok", green_circle: "ok", red_circle: "bad", large_red_circle: "bad", large_yellow_circle: "warn",
  yellow_circle: "warn", large_orange_circle: "warn", large_blue_circle: "info", blue_circle: "info", black_circle: "dim" };
const CHARACTERS = { rocket: "🚀", tada: "🎉", thumbsup: "👍", "+1": "👍", thumbsdown: "👎", "-1": "👎", wave: "👋", fire: "🔥", bug: "🐛",
  heart: "❤️", smile: "😄", thinking_face: "🤔", robot_face: "🤖", hammer: "🔨", hammer_and_wrench: "🛠️", building_construction: "🏗️",
  triangular_ruler: "📐", microscope: "🔬", test_tube: "🧪", package: "📦", gear: "⚙️", computer: "💻", cloud: "☁️", globe_with_meridians: "🌐",
  moneybag: "💰", bulb: "💡", clock1: "🕐", stopwatch: "⏱️", alarm_clock: "⏰", construction: "🚧", chart_with_upwards_trend: "📈",
  point_right: "👉", raised_hand: "✋", pray: "🙏", eyes_open: "👀", checkered_flag: "🏁", skull: "💀", zap: "⚡", calendar: "📅", pushpin: "📌" };

/** A node for a shortcode, or null where it is not one of ours (the text then stays as typed). */
export function emoji(name) {
  const label = `:${name}:`;
  if (DRAWN[name]) return icon(DRAWN[name][1], { width: 2.2, label, className: `emoji drawn ${DRAWN[name][0]}` });
  if (DOTS[name]) return el(`span.emoji.dot.${DOTS[name]}`, { role: "img", "aria-label": label, title: label });
  if (CHARACTERS[name]) return el("span.emoji", { role: "img", "aria-label": label, title: label }, CHARACTERS[name]);
  return null;
}
