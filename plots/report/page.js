// page.js - sort tables by a click on their heading; name the point under the mouse.
// The page is complete without it.
(function () {
  'use strict';
  document.documentElement.classList.add('scripted');

  // ---- sorting: numbers by data-v, empty cells last, names as text ----
  function key(row, column) {
    var cell = row.cells[column];
    if (column === 0) return cell.textContent;
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  }
  function sortBy(table, column, heading) {
    var down = heading.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      var x = key(a, column), y = key(b, column);
      if (x === null || y === null) return (x === null) - (y === null);
      if (column === 0) return down * x.localeCompare(y, 'en', { numeric: true });
      return down * (x - y);
    });
    rows.forEach(function (row) { body.appendChild(row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (cell) {
      cell.removeAttribute('aria-sort');
    });
    heading.setAttribute('aria-sort', down > 0 ? 'ascending' : 'descending');
  }
  document.querySelectorAll('table.sortable').forEach(function (table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (heading, column) {
      var button = document.createElement('button');
      button.textContent = heading.textContent;
      heading.textContent = '';
      heading.appendChild(button);
      button.addEventListener('click', function () { sortBy(table, column, heading); });
    });
  });

  // ---- the rows of a figure: RFC 4180 ----
  function parse(text) {
    var rows = [[]], field = '', quoted = false;
    for (var i = 0; i < text.length; i++) {
      var c = text[i];
      if (quoted && c === '"' && text[i + 1] === '"') { field += c; i++; }
      else if (c === '"') quoted = !quoted;
      else if (c === ',' && !quoted) { rows[rows.length - 1].push(field); field = ''; }
      else if (c === '\n' && !quoted) {
        rows[rows.length - 1].push(field); field = ''; rows.push([]);
      } else if (c !== '\r') field += c;
    }
    rows.pop();
    var names = rows.shift() || [];
    return rows.map(function (cells) {
      var row = {};
      names.forEach(function (name, i) { row[name] = cells[i]; });
      return row;
    });
  }

  // What is drawn of a series stands in one group, in the order of its rows.
  function marks(plate) {
    var rows = parse(plate.querySelector('pre.csv').textContent), found = [];
    var series = rows.map(function (row) { return Number(row.series); });
    series = series.filter(function (s, i) { return series.indexOf(s) === i; });
    series.sort(function (a, b) { return a - b; });
    series.forEach(function (number, i) {
      var group = plate.querySelector('g[id$="gnuplot_plot_' + (i + 1) + '"]');
      if (!group) return;
      var own = rows.filter(function (row) { return Number(row.series) === number; });
      var points = group.querySelectorAll('use'), boxes = group.querySelectorAll('polygon');
      var drawn = points.length ? points : boxes;
      own.forEach(function (row, j) {
        if (drawn[j]) found.push({ mark: drawn[j], row: row, box: !points.length });
      });
    });
    return found;
  }
  function describe(row) {
    var hidden = /^(series|name|dash|row|column|reference|method)$/;
    return Object.keys(row).filter(function (name) {
      return row[name] !== '' && !hidden.test(name);
    }).map(function (name) {
      return name === 'label' ? row[name] : name + ' ' + row[name];
    }).join('\n');
  }
  function nearest(found, x, y) {
    var best = null, least = 14;
    found.forEach(function (item) {
      var r = item.mark.getBoundingClientRect();
      var dx = item.box ? Math.max(r.left - x, 0, x - r.right) : (r.left + r.right) / 2 - x;
      var dy = item.box ? Math.max(r.top - y, 0, y - r.bottom) : (r.top + r.bottom) / 2 - y;
      var d = Math.hypot(dx, dy) + (item.box ? 1 : 0);
      if (d < least) { least = d; best = item; }
    });
    return best;
  }
  var hover = document.createElement('div');
  hover.id = 'hover';
  hover.hidden = true;
  document.body.appendChild(hover);
  document.querySelectorAll('.plate').forEach(function (plate) {
    var svg = plate.querySelector('svg'), found = null;
    if (!svg) return;
    svg.addEventListener('pointermove', function (event) {
      found = found || marks(plate);
      var item = nearest(found, event.clientX, event.clientY);
      hover.hidden = !item;
      if (!item) return;
      hover.textContent = describe(item.row);
      hover.style.left = Math.max(4, Math.min(event.clientX + 14,
        window.innerWidth - hover.offsetWidth - 4)) + 'px';
      hover.style.top = Math.max(4, Math.min(event.clientY + 14,
        window.innerHeight - hover.offsetHeight - 4)) + 'px';
    });
    svg.addEventListener('pointerleave', function () { hover.hidden = true; });
  });
})();
